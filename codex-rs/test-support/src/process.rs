//! Running a program to its end, within a time that has an end.

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long [`run`] lets a program take: far above any run of a test on a loaded machine.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// How long to wait for a pipe's end when everything that could hold it has been killed.
const PIPE_GRACE: Duration = Duration::from_secs(2);
/// The most that is kept of one pipe, in bytes; the rest is read and dropped.
const OUTPUT_LIMIT: usize = 64 * 1024 * 1024;

/// What a program left behind.
#[derive(Debug, Clone)]
pub struct RunOutput {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its standard output; what is not UTF-8 is replaced.
    pub stdout: String,
    /// Its standard error, likewise.
    pub stderr: String,
    /// Whether it was killed because its time was over.
    pub timed_out: bool,
    /// Whether something it started still held its output open when it ended, until the time was
    /// over.
    pub left_running: bool,
}

/// Runs a program with an empty standard input, for 60 seconds at most.
///
/// # Panics
/// When it cannot be started, when its time is over, or when something it started outlives it
/// until then.
#[track_caller]
pub fn run(command: &mut Command) -> RunOutput {
    finished(execute(command, None, TIME_LIMIT))
}

/// Like [`run`], with this standard input.
///
/// # Panics
/// As [`run`] does.
#[track_caller]
pub fn run_with_stdin(command: &mut Command, input: impl Into<Vec<u8>>) -> RunOutput {
    finished(execute(command, Some(input.into()), TIME_LIMIT))
}

/// Runs a program with an empty standard input, and kills it and its process group when `limit`
/// is over: for what is not meant to end by itself.
///
/// # Panics
/// When it cannot be started.
#[track_caller]
pub fn run_for(command: &mut Command, limit: Duration) -> RunOutput {
    execute(command, None, limit)
}

/// The JSON values of a text with one a line.
///
/// # Panics
/// On a line that is not JSON; empty lines are none either.
#[track_caller]
pub fn json_lines(text: &str) -> Vec<Value> {
    let mut values = Vec::new();
    for (number, line) in text.lines().enumerate() {
        match serde_json::from_str(line) {
            Ok(value) => values.push(value),
            Err(error) => panic!("line {} is not JSON ({error}): {line:?}", number + 1),
        }
    }
    values
}

#[track_caller]
fn finished(output: RunOutput) -> RunOutput {
    assert!(
        !output.timed_out,
        "the program did not end within {TIME_LIMIT:?}: {output:#?}"
    );
    assert!(
        !output.left_running,
        "something the program started still ran after {TIME_LIMIT:?}: {output:#?}"
    );
    output
}

#[track_caller]
fn execute(command: &mut Command, input: Option<Vec<u8>>, limit: Duration) -> RunOutput {
    let deadline = Instant::now() + limit;
    let stdin = match input {
        Some(_) => Stdio::piped(),
        None => Stdio::null(),
    };
    command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that what it starts can be killed with it.
        .process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => panic!("{:?} cannot be started: {error}", command.get_program()),
    };

    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        // A program that does not read its input closes the pipe when it ends.
        thread::spawn(move || pipe.write_all(&input));
    }
    let (ended, pipes) = mpsc::channel();
    let stdout = drain(child.stdout.take(), ended.clone());
    let stderr = drain(child.stderr.take(), ended);

    let (status, timed_out) = wait(&mut child, deadline);
    let mut left_running = false;
    let mut open = 2;
    wait_for_ends(&pipes, &mut open, deadline);
    if open > 0 {
        left_running = !timed_out;
        kill_group(child.id());
        wait_for_ends(&pipes, &mut open, Instant::now() + PIPE_GRACE);
    }
    RunOutput {
        code: status.code(),
        signal: status.signal(),
        stdout: text(&stdout),
        stderr: text(&stderr),
        timed_out,
        left_running,
    }
}

/// Waits for the program, and kills it with its group at the deadline; whether it came to that.
#[track_caller]
fn wait(child: &mut Child, deadline: Instant) -> (ExitStatus, bool) {
    let mut nap = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return (status, false),
            Ok(None) => {}
            Err(error) => panic!("waiting for process {} failed: {error}", child.id()),
        }
        if Instant::now() >= deadline {
            // While the program is not waited for, no other process can get its number.
            kill_group(child.id());
            let _ = child.kill();
            match child.wait() {
                Ok(status) => return (status, true),
                Err(error) => panic!("waiting for process {} failed: {error}", child.id()),
            }
        }
        thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(10));
    }
}

/// Kills a process group. The standard library has no call for that; a shell's own `kill` does.
fn kill_group(leader: u32) {
    let _ = Command::new("/bin/sh")
        .args(["-c", "kill -KILL \"-$1\"", "sh"])
        .arg(leader.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// Reads a pipe to its end in a thread, which outlives this call if the end never comes.
fn drain(pipe: Option<impl Read + Send + 'static>, ended: Sender<()>) -> Arc<Mutex<Vec<u8>>> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&kept);
    thread::spawn(move || {
        if let Some(mut pipe) = pipe {
            let mut buffer = [0; 16 * 1024];
            while let Ok(read @ 1..) = pipe.read(&mut buffer) {
                let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
                let room = OUTPUT_LIMIT - sink.len();
                sink.extend_from_slice(&buffer[..read.min(room)]);
            }
        }
        // Nobody listens any more when the run gave up on this pipe.
        let _ = ended.send(());
    });
    kept
}

fn wait_for_ends(pipes: &Receiver<()>, open: &mut usize, deadline: Instant) {
    while *open > 0 {
        // Pipes that ended before the deadline are counted after it too.
        let left = deadline.saturating_duration_since(Instant::now());
        if pipes.recv_timeout(left).is_err() {
            return;
        }
        *open -= 1;
    }
}

fn text(kept: &Mutex<Vec<u8>>) -> String {
    let bytes = kept.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&bytes).into_owned()
}
