//! An AppContainer of a command's own, and its entries in access lists.

use std::io;
use std::path::{Path, PathBuf};
use std::ptr;

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    DENY_ACCESS, EXPLICIT_ACCESS_W, GRANT_ACCESS, GetNamedSecurityInfoW, NO_MULTIPLE_TRUSTEE,
    REVOKE_ACCESS, SE_FILE_OBJECT, SET_ACCESS, SetEntriesInAclW, SetNamedSecurityInfoW,
    TRUSTEE_IS_SID, TRUSTEE_IS_UNKNOWN, TRUSTEE_W,
};
use windows_sys::Win32::Security::Isolation::{
    CreateAppContainerProfile, DeleteAppContainerProfile,
};
use windows_sys::Win32::Security::{
    ACL, DACL_SECURITY_INFORMATION, FreeSid, NO_INHERITANCE, PSID,
    SUB_CONTAINERS_AND_OBJECTS_INHERIT,
};

use super::{error, wide};
use crate::appcontainer::{Entry, Kind, access};

/// Whether the system has AppContainers: it makes one, which is removed again.
pub(super) fn available() -> bool {
    Isolation::new().is_ok()
}

/// An AppContainer. Dropping it takes back its entries and removes its profile.
pub(super) struct Isolation {
    name: Vec<u16>,
    sid: PSID,
    entered: Vec<PathBuf>,
}

impl Isolation {
    /// Makes one that no other run shares.
    pub(super) fn new() -> io::Result<Self> {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
        let moment = since.map_or(0, |since| since.as_nanos());
        // At most 64 characters (`CreateAppContainerProfile`).
        let name = format!("codex.{}.{moment:x}", std::process::id());
        let name = wide(name.as_ref())?;
        let mut sid = ptr::null_mut();
        // SAFETY: the texts end with a NUL and outlive the call, which allocates the identity.
        let result = unsafe {
            CreateAppContainerProfile(
                name.as_ptr(),
                name.as_ptr(),
                name.as_ptr(),
                ptr::null(),
                0,
                &raw mut sid,
            )
        };
        if result < 0 || sid.is_null() {
            return Err(io::Error::from_raw_os_error(result));
        }
        Ok(Self {
            name,
            sid,
            entered: Vec::new(),
        })
    }

    /// Its identity. Valid as long as `self` is.
    pub(super) fn sid(&self) -> PSID {
        self.sid
    }

    /// Adds its entries. What is not there gets none; what is there and gets none is a failure,
    /// since an entry that denies may not be left out.
    pub(super) fn enter(&mut self, entries: &[Entry]) -> io::Result<()> {
        for entry in entries {
            match entry.path.symlink_metadata() {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            }
            // First noted, so that whatever happens it is taken back.
            self.entered.push(entry.path.clone());
            let mode = match entry.kind {
                Kind::Grant => GRANT_ACCESS,
                Kind::Deny => DENY_ACCESS,
            };
            self.change(&entry.path, &[(mode, entry.rights, entry.inherited)])?;
        }
        Ok(())
    }

    /// Changes what the file's access list says of the container.
    fn change(&self, path: &Path, steps: &[(i32, u32, bool)]) -> io::Result<()> {
        let path = wide(path.as_os_str())?;
        let mut list: *mut ACL = ptr::null_mut();
        let mut descriptor = ptr::null_mut();
        // SAFETY: the path ends with a NUL; the descriptor, which holds the list, is allocated by
        // the call and freed below.
        let code = unsafe {
            GetNamedSecurityInfoW(
                path.as_ptr(),
                SE_FILE_OBJECT,
                DACL_SECURITY_INFORMATION,
                ptr::null_mut(),
                ptr::null_mut(),
                &raw mut list,
                ptr::null_mut(),
                &raw mut descriptor,
            )
        };
        if code != ERROR_SUCCESS {
            return Err(error(code));
        }
        let _descriptor = Local(descriptor);
        let mut lists = Vec::new();
        for (mode, rights, inherited) in steps {
            let changed = self.changed(list, *mode, *rights, *inherited)?;
            list = changed.0.cast();
            lists.push(changed);
        }
        // SAFETY: the path ends with a NUL and, as the list, outlives the call.
        let code = unsafe {
            SetNamedSecurityInfoW(
                path.as_ptr().cast_mut(),
                SE_FILE_OBJECT,
                DACL_SECURITY_INFORMATION,
                ptr::null_mut(),
                ptr::null_mut(),
                list,
                ptr::null_mut(),
            )
        };
        if code == ERROR_SUCCESS {
            Ok(())
        } else {
            Err(error(code))
        }
    }

    /// A copy of the list in which the container's entry is changed.
    fn changed(&self, list: *const ACL, mode: i32, rights: u32, below: bool) -> io::Result<Local> {
        let entry = EXPLICIT_ACCESS_W {
            grfAccessPermissions: rights,
            grfAccessMode: mode,
            grfInheritance: match below {
                true => SUB_CONTAINERS_AND_OBJECTS_INHERIT,
                false => NO_INHERITANCE,
            },
            Trustee: TRUSTEE_W {
                pMultipleTrustee: ptr::null_mut(),
                MultipleTrusteeOperation: NO_MULTIPLE_TRUSTEE,
                TrusteeForm: TRUSTEE_IS_SID,
                TrusteeType: TRUSTEE_IS_UNKNOWN,
                ptstrName: self.sid.cast(),
            },
        };
        let mut changed: *mut ACL = ptr::null_mut();
        // SAFETY: the entry, the identity that it points to and the list outlive the call, which
        // allocates the new list.
        let code = unsafe { SetEntriesInAclW(1, &raw const entry, list, &raw mut changed) };
        if code == ERROR_SUCCESS {
            Ok(Local(changed.cast()))
        } else {
            Err(error(code))
        }
    }
}

impl Drop for Isolation {
    fn drop(&mut self) {
        for path in std::mem::take(&mut self.entered).into_iter().rev() {
            // Revoking leaves entries that deny, and setting replaces both kinds: so both, in this
            // order. What cannot be taken back names a container that no longer exists.
            let steps = [(SET_ACCESS, access::READ, true), (REVOKE_ACCESS, 0, true)];
            let _ = self.change(&path, &steps);
        }
        // SAFETY: the name ends with a NUL; the identity was allocated for us alone, and nothing
        // uses it after this.
        unsafe {
            DeleteAppContainerProfile(self.name.as_ptr());
            FreeSid(self.sid);
        }
    }
}

/// Memory that the system allocated with its local allocator, for us.
struct Local(*mut core::ffi::c_void);

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: see above; nothing uses it after this.
        unsafe { LocalFree(self.0) };
    }
}
