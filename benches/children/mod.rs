//! The cells of the process bench: `/bin/true`, started and awaited, one child after the other.

use crate::contest::{Cell, Contestant, Run, Sample, Stopwatch};

/// What is started: it ends at once.
const PROGRAM: &str = "/bin/true";

pub(crate) static CELLS: &[Cell] = &[
    Cell {
        name: "spawn_wait",
        about: "start /bin/true and wait for it: processor time of the parent",
        operations: 300,
        counted: 50,
    },
    Cell {
        name: "spawn_wait_wall",
        about: "the same: time until the end was seen, in the column of the CPU",
        operations: 300,
        counted: 0,
    },
];

pub(crate) static CONTESTANTS: &[Contestant] = &[
    Contestant { name: "std", cells: STD },
    Contestant { name: "tokio", cells: TOKIO },
    Contestant { name: "annulus", cells: ANNULUS },
];

static STD: &[(&str, Run)] =
    &[("spawn_wait", std), ("spawn_wait_wall", |children| by_wall(std(children)))];
static TOKIO: &[(&str, Run)] =
    &[("spawn_wait", tokio), ("spawn_wait_wall", |children| by_wall(tokio(children)))];
static ANNULUS: &[(&str, Run)] =
    &[("spawn_wait", annulus), ("spawn_wait_wall", |children| by_wall(annulus(children)))];

/// So that the wall is what is compared.
fn by_wall(sample: Sample) -> Sample {
    Sample { cpu_ns: sample.wall_ns, ..sample }
}

fn std(children: u64) -> Sample {
    let watch = Stopwatch::start();
    for _ in 0..children {
        let child = std::process::Command::new(PROGRAM).spawn();
        let status = child.and_then(|mut child| child.wait());
        assert!(status.expect("the program is there").success());
    }
    watch.stop(children)
}

fn tokio(children: u64) -> Sample {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    runtime.expect("tokio starts").block_on(async {
        let watch = Stopwatch::start();
        for _ in 0..children {
            let mut child = tokio::process::Command::new(PROGRAM).spawn().expect("it is there");
            assert!(child.wait().await.expect("it ends").success());
        }
        watch.stop(children)
    })
}

fn annulus(children: u64) -> Sample {
    let runtime = annulus::Runtime::new().expect("annulus starts");
    runtime.block_on(async {
        let watch = Stopwatch::start();
        for _ in 0..children {
            let mut child = annulus::process::Command::new(PROGRAM).spawn().expect("it is there");
            assert!(child.wait().await.expect("it ends").success());
        }
        watch.stop(children)
    })
}
