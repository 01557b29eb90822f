//! The process between codex and a command: it makes what confines the command, starts it, waits
//! for it, and ends what it started, also when codex itself is ended.

use std::io::{self, Read, Write};
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle, RawHandle};
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use windows_sys::Win32::Foundation::WAIT_OBJECT_0;
use windows_sys::Win32::System::Console::SetConsoleCtrlHandler;
use windows_sys::Win32::System::Threading::{GetExitCodeProcess, INFINITE, WaitForSingleObject};

use super::container::Isolation;
use super::family::Control;
use super::job::Job;
use super::process::{self, Start};
use super::{check, set_inheritable, token};
use crate::plan::Plan;
use crate::spawn::{self, Command, EXEC_STEP, Outcome};
use crate::wire::Message;

/// The step that failed, and how.
type Failure = (&'static str, io::Error);

/// Runs the helper: `argv[2]` and `argv[3]` are the control pipes that codex passed on.
#[must_use]
pub fn run_helper() -> ExitCode {
    let handle = |at: usize| -> Option<OwnedHandle> {
        let text = std::env::args().nth(at)?;
        let number = text.parse::<usize>().ok().filter(|n| *n != 0)?;
        let raw: RawHandle = std::ptr::with_exposed_provenance_mut(number);
        set_inheritable(raw, false).ok()?;
        // SAFETY: codex passed this handle to us alone; nothing else in this process uses it.
        Some(unsafe { OwnedHandle::from_raw_handle(raw) })
    };
    let (Some(reader), Some(writer)) = (handle(2), handle(3)) else {
        return ExitCode::from(2);
    };
    let mut control = Control {
        reader: Some(reader.into()),
        writer: Some(writer.into()),
    };
    let plan: Result<Plan, Failure> =
        spawn::receive(&mut control).map_err(|cause| ("reading the plan", cause));
    let message = match plan.and_then(|plan| run(&mut control, &plan)) {
        Ok(outcome) => Message::Ended { outcome },
        Err((step, cause)) => Message::Failed {
            step: step.to_owned(),
            errno: cause.raw_os_error().unwrap_or(INVALID_FUNCTION),
        },
    };
    // Codex may be gone; the job is ended either way.
    if let Ok(mut line) = serde_json::to_vec(&message) {
        line.push(b'\n');
        let _ = control.write_all(&line);
    }
    ExitCode::SUCCESS
}

/// `ERROR_INVALID_FUNCTION`, header `winerror.h`: for a failure that is not the system's.
const INVALID_FUNCTION: i32 = 1;

fn run(control: &mut Control, plan: &Plan) -> Result<Outcome, Failure> {
    let at = |step: &'static str| move |cause: io::Error| (step, cause);
    ignore_interrupts().map_err(at("ignoring interrupts"))?;
    let container = match &plan.confinement {
        None => None,
        // A confined plan without a container was made for another system.
        Some(confinement) => match &confinement.container {
            Some(container) => Some(container),
            None => return Err(("reading the plan", io::ErrorKind::InvalidData.into())),
        },
    };
    let desktop = container.map_or(0, |c| c.job.desktop);
    let job = Job::new(plan.limits.memory, desktop).map_err(at("making the job"))?;
    let low = container.is_some_and(|c| !c.isolated);
    let token = token::restricted(low).map_err(at("restricting the token"))?;
    // Until here nothing was done for a command, and codex may yet not permit one.
    let command: Command = spawn::receive(control).map_err(at("waiting for the command"))?;
    let mut isolation = match container {
        Some(container) if container.isolated => {
            let mut isolation = Isolation::new().map_err(at("making the container"))?;
            isolation
                .enter(&container.entries)
                .map_err(at("entering the container in access lists"))?;
            Some(isolation)
        }
        _ => None,
    };
    let deadline = plan.limits.timeout.map(|limit| Instant::now() + limit);
    let process = process::start(&Start {
        command: &command,
        environment: &plan.environment,
        terminal: plan.terminal,
        token: &token,
        isolation: isolation.as_ref(),
        job: &job,
    })
    .map_err(at(EXEC_STEP))?;
    let outcome = watch(control, process, deadline);
    job.end().map_err(at("ending the job"))?;
    // Taken back before codex hears that all is over.
    drop(isolation.take());
    outcome.map_err(at("waiting for the command's end"))
}

/// A Ctrl-C in a shared console is the command's to act on; the helper stays to see it end.
fn ignore_interrupts() -> io::Result<()> {
    extern "system" fn handled(_: u32) -> i32 {
        1
    }
    // SAFETY: the function does nothing, and lives as long as the process.
    check(unsafe { SetConsoleCtrlHandler(Some(handled), 1) })
}

/// Waits for the command's end, the deadline, or codex's end, whichever is first.
fn watch(
    control: &mut Control,
    process: OwnedHandle,
    deadline: Option<Instant>,
) -> io::Result<Outcome> {
    let (ended, first) = sync_channel(2);
    if let Some(mut reader) = control.reader.take() {
        let ended: SyncSender<io::Result<Outcome>> = ended.clone();
        thread::spawn(move || {
            // Codex says nothing after the command: that it can be read means that it is closed.
            let _ = reader.read(&mut [0]);
            let _ = ended.send(Ok(Outcome::Ended));
        });
    }
    thread::spawn(move || {
        let _ = ended.send(wait(&process));
    });
    let Some(deadline) = deadline else {
        return first.recv().map_err(io::Error::other)?;
    };
    match first.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(ended) => ended,
        Err(RecvTimeoutError::Timeout) => Ok(Outcome::TimedOut),
        Err(lost @ RecvTimeoutError::Disconnected) => Err(io::Error::other(lost)),
    }
}

fn wait(process: &OwnedHandle) -> io::Result<Outcome> {
    // SAFETY: the process is open.
    if unsafe { WaitForSingleObject(process.as_raw_handle(), INFINITE) } != WAIT_OBJECT_0 {
        return Err(io::Error::last_os_error());
    }
    let mut code = 0;
    // SAFETY: the process is open; the code is written to a variable that outlives the call.
    check(unsafe { GetExitCodeProcess(process.as_raw_handle(), &raw mut code) })?;
    Ok(Outcome::Exited(code.cast_signed()))
}
