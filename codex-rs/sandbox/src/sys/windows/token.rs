//! What a command is, to the system: the person without their privileges, at low integrity.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;

use windows_sys::Win32::Foundation::{HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::ConvertStringSidToSidW;
use windows_sys::Win32::Security::{
    CreateRestrictedToken, DISABLE_MAX_PRIVILEGE, GetLengthSid, PSID, SID_AND_ATTRIBUTES,
    SetTokenInformation, TOKEN_ADJUST_DEFAULT, TOKEN_ASSIGN_PRIMARY, TOKEN_DUPLICATE,
    TOKEN_MANDATORY_LABEL, TOKEN_QUERY, TokenIntegrityLevel,
};
use windows_sys::Win32::System::SystemServices::SE_GROUP_INTEGRITY;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use super::{check, wide};

/// `SECURITY_MANDATORY_LOW_RID` below the authority of labels, header `winnt.h`.
const LOW_INTEGRITY: &str = "S-1-16-4096";

/// An identity that the system allocated for us.
pub(super) struct LocalSid(pub(super) PSID);

impl LocalSid {
    pub(super) fn parse(text: &str) -> io::Result<Self> {
        let text = wide(text.as_ref())?;
        let mut sid = ptr::null_mut();
        // SAFETY: the text ends with a NUL and outlives the call, which allocates the identity.
        check(unsafe { ConvertStringSidToSidW(text.as_ptr(), &raw mut sid) })?;
        Ok(Self(sid))
    }
}

impl Drop for LocalSid {
    fn drop(&mut self) {
        // SAFETY: it was allocated by the system with its local allocator, for us alone.
        unsafe { LocalFree(self.0) };
    }
}

/// A copy of our own token without privileges and, if `low`, at low integrity: what is not marked
/// for that cannot be written with it.
pub(super) fn restricted(low: bool) -> io::Result<OwnedHandle> {
    let own = {
        let mut handle: HANDLE = ptr::null_mut();
        let rights = TOKEN_DUPLICATE | TOKEN_QUERY | TOKEN_ASSIGN_PRIMARY | TOKEN_ADJUST_DEFAULT;
        // SAFETY: the handle is written to a variable that outlives the call.
        check(unsafe { OpenProcessToken(GetCurrentProcess(), rights, &raw mut handle) })?;
        // SAFETY: the system has just given this handle to us.
        unsafe { OwnedHandle::from_raw_handle(handle) }
    };
    let mut handle: HANDLE = ptr::null_mut();
    // SAFETY: no list is given, so none is read; the handle outlives the call.
    check(unsafe {
        CreateRestrictedToken(
            own.as_raw_handle(),
            DISABLE_MAX_PRIVILEGE,
            0,
            ptr::null(),
            0,
            ptr::null(),
            0,
            ptr::null(),
            &raw mut handle,
        )
    })?;
    // SAFETY: the system has just given this handle to us.
    let token = unsafe { OwnedHandle::from_raw_handle(handle) };
    if low {
        lower(&token)?;
    }
    Ok(token)
}

fn lower(token: &OwnedHandle) -> io::Result<()> {
    let sid = LocalSid::parse(LOW_INTEGRITY)?;
    let label = TOKEN_MANDATORY_LABEL {
        Label: SID_AND_ATTRIBUTES {
            Sid: sid.0,
            Attributes: SE_GROUP_INTEGRITY.cast_unsigned(),
        },
    };
    // SAFETY: the identity is valid until it is dropped below.
    let sid_length = unsafe { GetLengthSid(sid.0) };
    let size = u32::try_from(size_of::<TOKEN_MANDATORY_LABEL>()).unwrap_or(u32::MAX);
    // SAFETY: the structure is the one of this class and, as the identity that it points to,
    // outlives the call.
    check(unsafe {
        SetTokenInformation(
            token.as_raw_handle(),
            TokenIntegrityLevel,
            ptr::from_ref(&label).cast(),
            size.saturating_add(sid_length),
        )
    })
}
