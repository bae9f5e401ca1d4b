//! How the processors lie: which share a core, and which a node of memory.
//!
//! Read from `/sys/devices/system/cpu`. What a machine does not tell counts as the simplest: one node, and a core
//! of its own for each processor.

use std::fs;
use std::path::Path;

/// A logical processor, as the kernel numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Processor {
    pub(crate) number: usize,
    /// The node whose memory is near.
    pub(crate) node: usize,
    /// The socket, and the core in it: hyper-threads have both in common.
    pub(crate) package: usize,
    pub(crate) core: usize,
}

/// These processors of this machine.
pub(crate) fn processors(numbers: &[usize]) -> Vec<Processor> {
    processors_in(Path::new("/sys/devices/system/cpu"), numbers)
}

fn processors_in(root: &Path, numbers: &[usize]) -> Vec<Processor> {
    let processor = |&number: &usize| {
        let dir = root.join(format!("cpu{number}"));
        let fact = |name: &str| fs::read_to_string(dir.join("topology").join(name)).ok();
        // A processor's directory has a link that is named after its node.
        let links = fs::read_dir(&dir).into_iter().flatten().flatten();
        let links = links.map(|link| link.file_name().to_string_lossy().into_owned());
        read(number, fact, links)
    };
    numbers.iter().map(processor).collect()
}

/// Understands what the kernel says of one.
fn read(
    number: usize,
    fact: impl Fn(&str) -> Option<String>,
    mut links: impl Iterator<Item = String>,
) -> Processor {
    let fact = |name: &str| fact(name)?.trim().parse().ok();
    let node = links.find_map(|link| link.strip_prefix("node")?.parse().ok());
    Processor {
        number,
        node: node.unwrap_or(0),
        package: fact("physical_package_id").unwrap_or(0),
        core: fact("core_id").unwrap_or(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_processor_of_this_machine_has_a_place() {
        let numbers = crate::sys::affinity::allowed().expect("a mask");
        let found = processors(&numbers);
        assert_eq!(found.iter().map(|found| found.number).collect::<Vec<_>>(), numbers);
    }

    #[test]
    fn what_the_kernel_says_is_read_and_what_it_does_not_is_the_simplest() {
        let facts = |name: &str| {
            let known = [("core_id", "2\n"), ("physical_package_id", "1\n")];
            known.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
        };
        let links = ["topology", "nodes", "node3"].map(str::to_owned);
        let told = Processor { number: 5, node: 3, package: 1, core: 2 };
        assert_eq!(read(5, facts, links.into_iter()), told);
        let silent = Processor { number: 6, node: 0, package: 0, core: 6 };
        assert_eq!(read(6, |_| None, std::iter::empty()), silent);
    }

    #[test]
    fn a_tree_of_two_nodes_with_hyper_threads_is_read() {
        let root = Path::new("/tmp").join(format!("annulus-topology-{}", std::process::id()));
        // Two sockets, a node each, of two cores with two threads, siblings four apart.
        for number in 0..8 {
            let dir = root.join(format!("cpu{number}"));
            for below in ["topology", "cache", &format!("node{}", number % 4 / 2)] {
                fs::create_dir_all(dir.join(below)).expect("a directory in /tmp");
            }
            for (name, value) in
                [("core_id", number % 2), ("physical_package_id", number % 4 / 2), ("die_id", 0)]
            {
                fs::write(dir.join("topology").join(name), format!("{value}\n")).expect("a file");
            }
        }
        let found = processors_in(&root, &[1, 3, 5, 6, 9]);
        fs::remove_dir_all(&root).expect("it is ours");
        let one = |number, node, core| Processor { number, node, package: node, core };
        let missing = Processor { number: 9, node: 0, package: 0, core: 9 };
        assert_eq!(found, [one(1, 0, 1), one(3, 1, 1), one(5, 0, 1), one(6, 1, 0), missing]);
    }
}
