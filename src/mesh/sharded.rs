//! A value on every core, addressed by the core or by the hash of a key.

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::shard::{Local, Shard};
use crate::runtime::RemoteError;

/// One value on every shard of a mesh, each made and dropped on its own core.
///
/// The values need not be `Send`; the handle is, and is cheap to clone. When the last clone goes, each shard lets
/// go of its value: at once where that was, on the others when their loop comes to it.
///
/// ```
/// use annulus::mesh::{Cores, Mesh, Sharded};
/// use std::cell::RefCell;
/// use std::collections::HashMap;
///
/// Mesh::builder().cores(Cores::Count(2)).pin(false).run(async |shard| {
///     if shard.index() > 0 {
///         return Ok(());
///     }
///     let store: Sharded<RefCell<HashMap<String, u32>>> = Sharded::new(RefCell::default).await?;
///     let key = "answer".to_owned();
///     // Always the same core for the same key.
///     let owner = store.owner(&key);
///     store.call(&owner, async move |map| map.borrow_mut().insert(key, 42)).await?;
///     let found = store.call(&owner, async |map| map.borrow().get("answer").copied()).await?;
///     assert_eq!(found, Some(42));
///     Ok::<_, std::io::Error>(())
/// })?;
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct Sharded<T: 'static> {
    keeper: Arc<Keeper>,
    value: PhantomData<fn() -> T>,
}

/// What ends with the last clone.
struct Keeper {
    /// Of the values, on every shard.
    number: u64,
    hasher: RandomState,
    /// One of the mesh.
    shard: Shard,
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

impl<T: 'static> Sharded<T> {
    /// Calls `make` on every shard of this thread's mesh and keeps what it gives there.
    ///
    /// If the future is dropped, the values that were made are dropped, each on its core.
    ///
    /// # Errors
    ///
    /// The first [`RemoteError`]: a shard has ended, or `make` panicked there. The values of the others are dropped.
    ///
    /// # Panics
    ///
    /// Outside a mesh.
    pub async fn new(make: impl Fn() -> T + Clone + Send + 'static) -> Result<Self, RemoteError> {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let (hasher, shard) = (RandomState::new(), Shard::current());
        let sharded =
            Self { keeper: Arc::new(Keeper { number, hasher, shard }), value: PhantomData };
        let made = Shard::broadcast(async move || {
            let value = Rc::new(make());
            here().values.insert(number, value);
        });
        made.await.into_iter().collect::<Result<(), _>>()?;
        Ok(sharded)
    }

    /// The value of this thread's shard.
    ///
    /// # Panics
    ///
    /// On a thread that is not of the mesh, or when its shard is ending and has let go of the value.
    #[track_caller]
    pub fn local(&self) -> Rc<T> {
        match Local::current().and_then(|local| local.values.get(self.keeper.number)) {
            Some(value) => value,
            None => panic!("this thread has no such value: it is not of the mesh, or at its end"),
        }
    }

    /// The shard that owns a key: the same for equal keys, and spread evenly. Which it is differs from one
    /// `Sharded` to the next, so that nobody can aim keys at one core.
    pub fn owner<K: Hash + ?Sized>(&self, key: &K) -> Shard {
        let hash = u128::from(self.keeper.hasher.hash_one(key));
        let count = self.keeper.shard.count();
        self.keeper.shard.sibling(((hash * count as u128) >> 64) as usize)
    }

    /// Calls `work` on `shard` with its value, and waits for the output; as [`Shard::call`].
    ///
    /// # Errors
    ///
    /// As there; a panic, if `shard` is not of the mesh or at its end.
    pub async fn call<R: Send + 'static>(
        &self,
        shard: &Shard,
        work: impl AsyncFnOnce(Rc<T>) -> R + Send + 'static,
    ) -> Result<R, RemoteError> {
        let sharded = self.clone();
        shard.call(async move || work(sharded.local()).await).await
    }
}

#[track_caller]
fn here() -> Rc<Local> {
    Local::current().expect("a shard calls this on its thread")
}

impl<T> Clone for Sharded<T> {
    fn clone(&self) -> Self {
        Self { keeper: Arc::clone(&self.keeper), value: PhantomData }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let number = self.number;
        for index in 0..self.shard.count() {
            let shard = self.shard.sibling(index);
            match Local::current().filter(|_| shard.is_current()) {
                Some(local) => local.values.remove(number),
                // A shard that has ended let go of all.
                None => drop(shard.spawn(async move || here().values.remove(number))),
            }
        }
    }
}

impl<T> fmt::Debug for Sharded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sharded").field("shards", &self.keeper.shard.count()).finish()
    }
}
