//! Starting a command inside what confines it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::{Component, Path, PathBuf, Prefix};
use std::ptr;

use windows_sys::Win32::Foundation::{
    ERROR_BAD_EXE_FORMAT, ERROR_FILENAME_EXCED_RANGE, ERROR_INVALID_PARAMETER, HANDLE,
    INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Security::SECURITY_CAPABILITIES;
use windows_sys::Win32::System::Console::{
    GetStdHandle, STD_ERROR_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE,
};
use windows_sys::Win32::System::Threading::{
    CREATE_NO_WINDOW, CREATE_SUSPENDED, CREATE_UNICODE_ENVIRONMENT, CreateProcessAsUserW,
    DeleteProcThreadAttributeList, EXTENDED_STARTUPINFO_PRESENT, InitializeProcThreadAttributeList,
    LPPROC_THREAD_ATTRIBUTE_LIST, PROC_THREAD_ATTRIBUTE_HANDLE_LIST,
    PROC_THREAD_ATTRIBUTE_SECURITY_CAPABILITIES, PROCESS_INFORMATION, ResumeThread,
    STARTF_USESTDHANDLES, STARTUPINFOEXW, TerminateProcess, UpdateProcThreadAttribute,
};

use super::container::Isolation;
use super::job::Job;
use super::{check, set_inheritable, wide};
use crate::command_line::{self, NoCommandLine};
use crate::plan::Terminal;
use crate::spawn::Command;

/// What a command is started with.
pub(super) struct Start<'a> {
    pub(super) command: &'a Command,
    pub(super) environment: &'a [(OsString, OsString)],
    pub(super) terminal: Terminal,
    /// Who it is.
    pub(super) token: &'a OwnedHandle,
    /// Its container, if there is one.
    pub(super) isolation: Option<&'a Isolation>,
    /// What holds it.
    pub(super) job: &'a Job,
}

/// Starts the command. It does not run before it is in its job.
pub(super) fn start(start: &Start<'_>) -> io::Result<OwnedHandle> {
    let command = start.command;
    let arguments: Vec<Vec<u16>> = command
        .argv
        .iter()
        .map(|a| a.encode_wide().collect())
        .collect();
    let mut line =
        command_line::join(&command.program, &arguments).map_err(|why| super::error(code(why)))?;
    line.push(0);
    let program = wide(plain(&command.program).as_os_str())?;
    let cwd = wide(plain(&command.cwd).as_os_str())?;
    let environment = environment(start.environment)?;
    let streams = streams();
    let mut inherited: Vec<HANDLE> = Vec::new();
    for stream in streams.into_iter().filter(|s| !s.is_null()) {
        set_inheritable(stream, true)?;
        if !inherited.contains(&stream) {
            inherited.push(stream);
        }
    }
    let capabilities = start.isolation.map(|isolation| SECURITY_CAPABILITIES {
        AppContainerSid: isolation.sid(),
        ..SECURITY_CAPABILITIES::default()
    });
    let mut attributes = Attributes::new(2)?;
    if !inherited.is_empty() {
        // Nothing else that happens to be inheritable goes to the command.
        attributes.add(PROC_THREAD_ATTRIBUTE_HANDLE_LIST, &inherited[..])?;
    }
    if let Some(capabilities) = &capabilities {
        attributes.add(
            PROC_THREAD_ATTRIBUTE_SECURITY_CAPABILITIES,
            std::slice::from_ref(capabilities),
        )?;
    }
    let mut startup = STARTUPINFOEXW::default();
    startup.StartupInfo.cb = u32::try_from(size_of::<STARTUPINFOEXW>()).unwrap_or(u32::MAX);
    startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    [
        startup.StartupInfo.hStdInput,
        startup.StartupInfo.hStdOutput,
        startup.StartupInfo.hStdError,
    ] = streams;
    startup.lpAttributeList = attributes.list();
    let mut flags = CREATE_SUSPENDED | CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT;
    if start.terminal == Terminal::None {
        flags |= CREATE_NO_WINDOW;
    }
    let mut made = PROCESS_INFORMATION::default();
    // SAFETY: every text ends with a NUL, the block of variables with two; all of them and the
    // attributes outlive the call, which fills `made`.
    check(unsafe {
        CreateProcessAsUserW(
            start.token.as_raw_handle(),
            program.as_ptr(),
            line.as_mut_ptr(),
            ptr::null(),
            ptr::null(),
            i32::from(!inherited.is_empty()),
            flags,
            environment.as_ptr().cast(),
            cwd.as_ptr(),
            (&raw const startup).cast(),
            &raw mut made,
        )
    })?;
    // SAFETY: the system has just given these handles to us.
    let (process, thread) = unsafe {
        (
            OwnedHandle::from_raw_handle(made.hProcess),
            OwnedHandle::from_raw_handle(made.hThread),
        )
    };
    let held = start.job.hold(&process).and_then(|()| {
        // SAFETY: the thread is open, and has not run.
        match unsafe { ResumeThread(thread.as_raw_handle()) } {
            u32::MAX => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    });
    if let Err(cause) = held {
        // SAFETY: the process is open, and has not run.
        unsafe { TerminateProcess(process.as_raw_handle(), 1) };
        return Err(cause);
    }
    Ok(process)
}

/// The system's own word for a list that no command line can carry: it travels as a number.
fn code(why: NoCommandLine) -> u32 {
    match why {
        NoCommandLine::Batch => ERROR_BAD_EXE_FORMAT,
        NoCommandLine::Long => ERROR_FILENAME_EXCED_RANGE,
        NoCommandLine::Nul | NoCommandLine::Quote => ERROR_INVALID_PARAMETER,
    }
}

/// The path without the prefix that resolving puts before a drive: a program takes it for a
/// server's name, and cannot work in such a directory.
fn plain(path: &Path) -> PathBuf {
    let mut parts = path.components();
    match parts.next() {
        Some(Component::Prefix(prefix)) => match prefix.kind() {
            Prefix::VerbatimDisk(letter) => {
                let mut plain = OsString::from(format!("{}:", char::from(letter)));
                plain.push(parts.as_path());
                plain.into()
            }
            _ => path.to_owned(),
        },
        _ => path.to_owned(),
    }
}

/// Our own streams, which are the command's. One that is not there is null.
fn streams() -> [HANDLE; 3] {
    [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE].map(|which| {
        // SAFETY: the call takes a number.
        let handle = unsafe { GetStdHandle(which) };
        if handle == INVALID_HANDLE_VALUE {
            ptr::null_mut()
        } else {
            handle
        }
    })
}

/// The block of variables: `NAME=VALUE` each with a NUL, and one more.
fn environment(variables: &[(OsString, OsString)]) -> io::Result<Vec<u16>> {
    let mut block = Vec::new();
    for (name, value) in variables {
        let mut text = name.clone();
        text.push("=");
        text.push(value);
        block.extend(wide(&text)?);
    }
    // The programs that libraries start need to find the system.
    let given = |wanted: &str| {
        variables
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case(OsStr::new(wanted)))
    };
    if !given("SystemRoot")
        && let Some(root) = std::env::var_os("SystemRoot")
    {
        let mut text = OsString::from("SystemRoot=");
        text.push(root);
        block.extend(wide(&text)?);
    }
    if block.is_empty() {
        block.push(0);
    }
    block.push(0);
    Ok(block)
}

/// What a process is made with beyond the ordinary.
struct Attributes(Vec<usize>);

impl Attributes {
    fn new(count: u32) -> io::Result<Self> {
        let mut size = 0;
        // SAFETY: without a list, the call only tells its size.
        unsafe { InitializeProcThreadAttributeList(ptr::null_mut(), count, 0, &raw mut size) };
        let mut list = Self(vec![0; size.div_ceil(size_of::<usize>()).max(1)]);
        // SAFETY: the list has the size that was told.
        check(unsafe { InitializeProcThreadAttributeList(list.list(), count, 0, &raw mut size) })?;
        Ok(list)
    }

    fn list(&mut self) -> LPPROC_THREAD_ATTRIBUTE_LIST {
        self.0.as_mut_ptr().cast()
    }

    /// Adds one. The value has to outlive the making of the process: the list points to it.
    fn add<T>(&mut self, which: u32, value: &[T]) -> io::Result<()> {
        let which = usize::try_from(which).unwrap_or(usize::MAX);
        // SAFETY: the list was initialized; the value is described by its pointer and size.
        check(unsafe {
            UpdateProcThreadAttribute(
                self.list(),
                0,
                which,
                value.as_ptr().cast(),
                size_of_val(value),
                ptr::null_mut(),
                ptr::null(),
            )
        })
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: it was initialized, and nothing uses it after this.
        unsafe { DeleteProcThreadAttributeList(self.list()) };
    }
}
