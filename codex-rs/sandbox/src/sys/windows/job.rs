//! Holding a command's processes together.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;

use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION,
    JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, JOB_OBJECT_LIMIT_PROCESS_MEMORY,
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION, JOBOBJECT_BASIC_UI_RESTRICTIONS,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JOBOBJECTINFOCLASS, JobObjectBasicAccountingInformation,
    JobObjectBasicUIRestrictions, JobObjectExtendedLimitInformation, QueryInformationJobObject,
    SetInformationJobObject, TerminateJobObject,
};

use super::check;
use crate::spawn::SWEEP;

/// A Job Object. When its one handle is closed, by whatever death, the system ends its processes.
#[derive(Debug)]
pub(super) struct Job(OwnedHandle);

impl Job {
    /// A job that nothing leaves: breaking away is not among its limits.
    pub(super) fn new(memory: Option<u64>, desktop: u32) -> io::Result<Self> {
        // SAFETY: without attributes and a name, the call reads no memory.
        let handle = unsafe { CreateJobObjectW(ptr::null(), ptr::null()) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the system has just given this handle to us.
        let job = Self(unsafe { OwnedHandle::from_raw_handle(handle) });
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        let mut flags =
            JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION;
        if let Some(bytes) = memory {
            flags |= JOB_OBJECT_LIMIT_PROCESS_MEMORY;
            limits.ProcessMemoryLimit = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        limits.BasicLimitInformation.LimitFlags = flags;
        job.set(JobObjectExtendedLimitInformation, &limits)?;
        if desktop != 0 {
            let restrictions = JOBOBJECT_BASIC_UI_RESTRICTIONS {
                UIRestrictionsClass: desktop,
            };
            job.set(JobObjectBasicUIRestrictions, &restrictions)?;
        }
        Ok(job)
    }

    fn set<T>(&self, class: JOBOBJECTINFOCLASS, value: &T) -> io::Result<()> {
        let size = u32::try_from(size_of::<T>()).unwrap_or(u32::MAX);
        // SAFETY: the structure is the one of this class and outlives the call, which reads it.
        check(unsafe {
            SetInformationJobObject(
                self.0.as_raw_handle(),
                class,
                ptr::from_ref(value).cast(),
                size,
            )
        })
    }

    /// Puts a process into it, before it has run.
    pub(super) fn hold(&self, process: &OwnedHandle) -> io::Result<()> {
        // SAFETY: both handles are open; no memory is touched.
        check(unsafe { AssignProcessToJobObject(self.0.as_raw_handle(), process.as_raw_handle()) })
    }

    /// Ends its processes, and waits until there is none.
    pub(super) fn end(&self) -> io::Result<()> {
        while self.active()? > 0 {
            // SAFETY: the handle is open; no memory is touched.
            check(unsafe { TerminateJobObject(self.0.as_raw_handle(), 1) })?;
            std::thread::sleep(SWEEP);
        }
        Ok(())
    }

    /// How many processes are in it.
    fn active(&self) -> io::Result<u32> {
        let mut counts = JOBOBJECT_BASIC_ACCOUNTING_INFORMATION::default();
        let size =
            u32::try_from(size_of::<JOBOBJECT_BASIC_ACCOUNTING_INFORMATION>()).unwrap_or(u32::MAX);
        // SAFETY: the structure is the one of this class and outlives the call, which fills it.
        check(unsafe {
            QueryInformationJobObject(
                self.0.as_raw_handle(),
                JobObjectBasicAccountingInformation,
                ptr::from_mut(&mut counts).cast(),
                size,
                ptr::null_mut(),
            )
        })?;
        Ok(counts.ActiveProcesses)
    }
}
