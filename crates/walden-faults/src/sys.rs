//! The system calls that no safe interface has: shutting a filesystem down, and deciding over system calls of
//! this process. All unsafe code of this crate is here.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr;

use rustix::ioctl::{Opcode, Setter, opcode};

/// `EXT4_IOC_SHUTDOWN` and `XFS_IOC_GOINGDOWN`: one number, one meaning.
const SHUT_DOWN: Opcode = opcode::read::<u32>(b'X', 125);

/// Neither data nor journal is written any more.
const NO_LOG_FLUSH: u32 = 2;

/// Cuts the power of the filesystem that `inside` lies on: from now on nothing reaches its device.
pub(crate) fn shut_down(inside: &File) -> io::Result<()> {
    // SAFETY: the call of this number reads one u32 through its pointer.
    let call = unsafe { Setter::<SHUT_DOWN, u32>::new(NO_LOG_FLUSH) };
    // SAFETY: the descriptor is open for the length of the call, which changes no memory of ours.
    Ok(unsafe { rustix::ioctl::ioctl(inside, call) }?)
}

/// A system call that waits for a decision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    id: u64,
    pub(crate) call: i64,
    pub(crate) args: [u64; 6],
}

/// Decides over the system calls of a thread and of those it starts.
#[derive(Debug)]
pub(crate) struct Supervisor(OwnedFd);

impl Supervisor {
    /// From now on each of `calls` that this thread, or one that it starts, makes waits for an
    /// [`answer`](Self::answer). Of `mmap` only those of shared mappings: the others are the allocator's.
    pub(crate) fn of_this_thread(calls: &[i64]) -> io::Result<Self> {
        let filter = filter(calls);
        let program = libc::sock_fprog {
            len: u16::try_from(filter.len()).map_err(io::Error::other)?,
            filter: filter.as_ptr().cast_mut(),
        };
        // SAFETY: takes numbers only.
        let status = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        if status != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `program` and the filter it points to live until the call returns; the kernel copies them.
        let listener = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
                ptr::from_ref(&program),
            )
        };
        let listener = i32::try_from(listener).map_err(io::Error::other)?;
        if listener < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(listener) }))
    }

    /// Waits for the next call. For a thread that is not supervised.
    pub(crate) fn next(&self) -> io::Result<Asked> {
        loop {
            // SAFETY: plain numbers, for which zeros stand; the kernel demands zeros.
            let mut notice: libc::seccomp_notif = unsafe { std::mem::zeroed() };
            // SAFETY: the kernel writes one `seccomp_notif` through the pointer.
            let status = unsafe {
                libc::ioctl(
                    self.0.as_raw_fd(),
                    libc::SECCOMP_IOCTL_NOTIF_RECV,
                    ptr::from_mut(&mut notice),
                )
            };
            if status == 0 {
                let call = i64::from(notice.data.nr);
                return Ok(Asked { id: notice.id, call, args: notice.data.args });
            }
            let error = io::Error::last_os_error();
            // ENOENT: the caller was gone before we came.
            if !matches!(error.raw_os_error(), Some(libc::EINTR | libc::ENOENT)) {
                return Err(error);
            }
        }
    }

    /// Lets a call through, or makes it fail with `errno` without having been made.
    pub(crate) fn answer(&self, asked: Asked, errno: Option<i32>) -> io::Result<()> {
        let go_on =
            u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).map_err(io::Error::other)?;
        let answer = libc::seccomp_notif_resp {
            id: asked.id,
            val: 0,
            error: -errno.unwrap_or(0),
            flags: if errno.is_none() { go_on } else { 0 },
        };
        // SAFETY: the kernel reads one `seccomp_notif_resp` through the pointer.
        let status = unsafe {
            libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, ptr::from_ref(&answer))
        };
        let error = io::Error::last_os_error();
        if status == 0 || error.raw_os_error() == Some(libc::ENOENT) { Ok(()) } else { Err(error) }
    }
}

/// Offsets in `seccomp_data`: the call's number, and the low half of its fourth argument on a machine that
/// stores that half first.
const NUMBER: u32 = 0;
const FOURTH: u32 = 16 + 3 * 8;

fn filter(calls: &[i64]) -> Vec<libc::sock_filter> {
    let instruction = |code: u32, jt, jf, k| libc::sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt,
        jf,
        k,
    };
    let load = |offset| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
    let ret = |value| instruction(libc::BPF_RET | libc::BPF_K, 0, 0, value);
    let shared = u32::try_from(libc::MAP_SHARED).unwrap_or_default();
    let mut program = vec![load(NUMBER)];
    for call in calls {
        let number = u32::try_from(*call).unwrap_or(u32::MAX);
        let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        if *call == libc::SYS_mmap {
            program.push(instruction(equal, 0, 4, number));
            program.push(load(FOURTH));
            program.push(instruction(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0, 1, shared));
            program.push(ret(libc::SECCOMP_RET_USER_NOTIF));
            program.push(ret(libc::SECCOMP_RET_ALLOW));
        } else {
            program.push(instruction(equal, 0, 1, number));
            program.push(ret(libc::SECCOMP_RET_USER_NOTIF));
        }
    }
    program.push(ret(libc::SECCOMP_RET_ALLOW));
    program
}
