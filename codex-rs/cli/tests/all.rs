//! The integration tests of the `codex` binary, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the whole binary is tests"
)]

mod all {
    mod agents_list;
    mod agents_md;
    mod agents_run;
    mod audit;
    mod bad_input;
    mod canary;
    mod commands;
    mod compaction;
    mod demo;
    mod exec;
    mod fixture;
    mod hostile;
    mod interrupts;
    mod ladder;
    mod long_task;
    mod manual;
    mod output_schema;
    mod policy;
    mod provider_faults;
    mod sandbox;
    mod sandbox_grants;
    mod search;
    mod small_models;
    mod sub_agents;
    mod telemetry;
    mod telemetry_delivery;
    mod tools;
    mod view_image;
    mod wires;
}
