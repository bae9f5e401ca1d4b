//! Which processor each shard runs on.

use std::collections::HashMap;
use std::io;
use std::num::NonZero;

use crate::sys::affinity;
use crate::sys::topology::{self, Processor};

/// On which processors a mesh runs, one shard each.
///
/// Shards are given to the physical cores first, node of memory by node, and to their hyper-threads afterwards. Only
/// processors that the process may use count: its affinity mask, and for [`All`](Cores::All) also the quota of
/// its control groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cores {
    /// A shard for each processor, but no more than the quota of the control groups has processors' worth of time.
    #[default]
    All,
    /// So many shards. More than there are processors is refused, unless shards are not pinned.
    Count(usize),
    /// A shard on each of these processors, by the kernel's numbers, in this order. One may be named more than once.
    List(Vec<usize>),
}

/// Where the shards go.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placement {
    /// The processor of each shard; `None` where it is not pinned.
    pub(super) shards: Vec<Option<usize>>,
    /// The processors that no shard was given.
    pub(super) spare: Vec<usize>,
}

impl Placement {
    /// Asks the kernel what there is.
    pub(super) fn choose(cores: &Cores, pinned: bool) -> io::Result<Self> {
        let allowed = affinity::allowed()?;
        let quota = std::thread::available_parallelism().map_or(1, NonZero::get);
        place(cores, pinned, order(topology::processors(&allowed)), quota)
    }
}

fn place(cores: &Cores, pinned: bool, ordered: Vec<usize>, quota: usize) -> io::Result<Placement> {
    let refuse = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    let available = ordered.len();
    let shards: Vec<usize> = match cores {
        Cores::All => ordered[..available.min(quota)].to_vec(),
        Cores::Count(count) if *count > available && !pinned => {
            return Ok(Placement { shards: vec![None; *count], spare: ordered });
        }
        Cores::Count(count) if *count > available => {
            return refuse(format!(
                "{count} cores were asked for, and this process may use {available} processors: \
                 {ordered:?}; ask for fewer, or do not pin them"
            ));
        }
        Cores::Count(count) => ordered[..*count].to_vec(),
        Cores::List(list) => {
            if let Some(missing) = list.iter().find(|number| !ordered.contains(number)) {
                return refuse(format!(
                    "processor {missing} is offline or outside of what this process may use: \
                     {ordered:?}"
                ));
            }
            list.clone()
        }
    };
    if shards.is_empty() {
        return refuse("a mesh has at least one shard".to_owned());
    }
    if !pinned {
        return Ok(Placement { shards: vec![None; shards.len()], spare: ordered });
    }
    let spare = ordered.into_iter().filter(|number| !shards.contains(number)).collect();
    Ok(Placement { shards: shards.into_iter().map(Some).collect(), spare })
}

/// Physical cores before their siblings, and among both node by node.
fn order(mut processors: Vec<Processor>) -> Vec<usize> {
    processors.sort_by_key(|one| one.number);
    let mut siblings: HashMap<(usize, usize, usize), usize> = HashMap::new();
    let mut ranked: Vec<_> = processors
        .iter()
        .map(|one| {
            let before = siblings.entry((one.node, one.package, one.core)).or_default();
            let rank = *before;
            *before += 1;
            (rank, one.node, one.package, one.number)
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(.., number)| number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two nodes of two cores with two threads each, numbered as Linux mostly does: all cores, then all siblings.
    fn machine() -> Vec<Processor> {
        let one = |number: usize| {
            let core = number % 4;
            Processor { number, node: core / 2, package: core / 2, core: core % 2 }
        };
        (0..8).map(one).collect()
    }

    fn shards(cores: Cores, quota: usize) -> Vec<Option<usize>> {
        place(&cores, true, order(machine()), quota).expect("there is room").shards
    }

    #[test]
    fn physical_cores_come_before_siblings_and_nodes_stay_together() {
        assert_eq!(order(machine()), [0, 1, 2, 3, 4, 5, 6, 7]);
        // Numbered the other way: siblings side by side.
        let paired = (0..8).map(|number| Processor {
            number,
            node: number / 4,
            package: number / 4,
            core: number / 2,
        });
        assert_eq!(order(paired.collect()), [0, 2, 4, 6, 1, 3, 5, 7]);
    }

    #[test]
    fn all_keeps_to_the_quota() {
        assert_eq!(shards(Cores::All, 64).len(), 8);
        assert_eq!(shards(Cores::All, 3), [0, 1, 2].map(Some));
    }

    #[test]
    fn a_count_and_a_list_are_taken_as_asked() {
        assert_eq!(shards(Cores::Count(5), 1), [0, 1, 2, 3, 4].map(Some));
        assert_eq!(shards(Cores::List(vec![7, 2, 7]), 1), [7, 2, 7].map(Some));
    }

    #[test]
    fn what_is_not_there_is_refused_with_what_is() {
        for cores in [Cores::Count(9), Cores::Count(0), Cores::List(vec![8]), Cores::List(vec![])] {
            let error = place(&cores, true, order(machine()), 8).expect_err("there are eight");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{cores:?}: {error}");
        }
        let error = place(&Cores::Count(9), true, order(machine()), 8).expect_err("one too many");
        assert!(error.to_string().contains("[0, 1, 2, 3, 4, 5, 6, 7]"), "{error}");
    }

    #[test]
    fn shards_that_are_not_pinned_may_be_more() {
        let placed = place(&Cores::Count(20), false, order(machine()), 8).expect("threads");
        assert_eq!(placed.shards, vec![None; 20]);
    }

    #[test]
    fn what_no_shard_was_given_is_spare() {
        let placed = place(&Cores::Count(6), true, order(machine()), 8).expect("there is room");
        assert_eq!(placed.spare, [6, 7]);
    }
}
