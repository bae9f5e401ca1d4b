//! The results, side by side.

use std::time::Duration;

use crate::load::Outcome;

/// What was measured of one server.
pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) outcome: Outcome,
    pub(crate) server_cpu: Duration,
}

impl Report {
    fn requests_per_second(&self) -> f64 {
        self.outcome.requests as f64 / self.outcome.time.as_secs_f64()
    }

    fn percentile_us(&self, percentile: f64) -> f64 {
        self.outcome.latency_ns.value_at_quantile(percentile / 100.0) as f64 / 1e3
    }

    fn cpu_per_request_us(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.outcome.requests.max(1) as f64
    }
}

/// Prints a row for each figure and a column for each server.
pub(crate) fn table(reports: &[Report]) {
    let row = |name: &str, digits: usize, value: &dyn Fn(&Report) -> f64| {
        let cells: String =
            reports.iter().map(|report| format!("{:>12.digits$}", value(report))).collect();
        println!("{name:<28}{cells}");
    };
    let names: String = reports.iter().map(|report| format!("{:>12}", report.name)).collect();
    println!("{:<28}{names}", "");
    row("requests/s", 0, &Report::requests_per_second);
    row("latency p50, us", 1, &|report| report.percentile_us(50.0));
    row("latency p99, us", 1, &|report| report.percentile_us(99.0));
    row("latency p99.9, us", 1, &|report| report.percentile_us(99.9));
    row("server CPU a request, us", 2, &Report::cpu_per_request_us);
}
