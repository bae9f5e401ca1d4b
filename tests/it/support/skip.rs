//! `skip!("reason")`: the one way a test says that it could not run here.
//!
//! A test that returns early in silence looks like one that passed, so each skip prints a line that
//! `.ci/kernels` collects. It is written past the harness's capture, which hides what passing tests
//! print.

use std::io::Write;

/// Prints `SKIP <test name>: <reason>` and returns from the test; the reason is a format string.
macro_rules! skip {
    ($($reason:tt)+) => {{
        fn here() {}
        $crate::support::skip::print(std::any::type_name_of_val(&here), format_args!($($reason)+));
        return;
    }};
}
pub(crate) use skip;

/// Prints the line; `here` is the path of a function inside the test.
pub(crate) fn print(here: &str, reason: std::fmt::Arguments<'_>) {
    let line = format!("SKIP {}: {reason}\n", test_name(here));
    std::io::stdout().write_all(line.as_bytes()).expect("write to stdout");
}

/// `it::net::accepts::{{closure}}::here` is the test that the harness calls `net::accepts`.
pub(crate) fn test_name(here: &str) -> String {
    let parts = here.split("::").skip(1).filter(|part| *part != "here" && *part != "{{closure}}");
    parts.collect::<Vec<_>>().join("::")
}

mod tests {
    use super::test_name;

    #[test]
    fn the_name_is_the_harness_s() {
        fn here() {}
        let name = test_name(std::any::type_name_of_val(&here));
        assert_eq!(name, "support::skip::tests::the_name_is_the_harness_s");
        let inside = || {
            fn here() {}
            test_name(std::any::type_name_of_val(&here))
        };
        assert_eq!(inside(), name);
    }
}
