//! The error of a channel that took no message, of each kind of channel a type of its own.

/// Declares `SendError`, with what it says.
macro_rules! send_error {
    ($(#[$attribute:meta])* $text:literal) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct SendError<T>(pub T);

        impl<T> ::std::fmt::Debug for SendError<T> {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct("SendError").finish_non_exhaustive()
            }
        }

        impl<T> ::std::fmt::Display for SendError<T> {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str($text)
            }
        }

        impl<T> ::std::error::Error for SendError<T> {}
    };
}
pub(super) use send_error;
