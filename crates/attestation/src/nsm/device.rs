//! The real device, `/dev/nsm`, by ioctl (aws-nitro-enclaves-nsm-api, `src/driver/mod.rs`; Linux,
//! `drivers/misc/nsm.c`).

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::errno::Errno;
use nix::libc::iovec;

use super::{NsmError, NsmProvider, NsmRequest, NsmResponse, REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};

/// Where the device is in an enclave.
const DEVICE_PATH: &str = "/dev/nsm";

/// The NSM of the enclave that this runs in.
#[derive(Debug)]
pub struct DeviceNsm {
    device: File,
}

impl DeviceNsm {
    /// Opens `/dev/nsm`.
    ///
    /// # Errors
    /// [`NsmError::Open`] if it is not there, or not ours to use.
    pub fn open() -> Result<Self, NsmError> {
        Self::open_at(Path::new(DEVICE_PATH))
    }

    /// Opens the device at another path.
    ///
    /// # Errors
    /// [`NsmError::Open`] if it is not there, or not ours to use.
    pub fn open_at(path: &Path) -> Result<Self, NsmError> {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(device) => Ok(Self { device }),
            Err(source) => Err(NsmError::Open { path: path.to_owned(), source }),
        }
    }
}

impl NsmProvider for DeviceNsm {
    fn process(&self, request: &NsmRequest) -> Result<NsmResponse, NsmError> {
        let mut request = request.encode();
        if request.len() > REQUEST_BYTES_MAX {
            return Err(NsmError::RequestTooLarge { length: request.len() });
        }
        let mut response = vec![0; RESPONSE_BYTES_MAX];
        let length = exchange(&self.device, &mut request, &mut response).map_err(|errno| {
            if errno == Errno::EMSGSIZE {
                NsmError::RequestTooLarge { length: request.len() }
            } else {
                NsmError::Io(errno.into())
            }
        })?;
        NsmResponse::decode(response.get(..length).unwrap_or_default()).map_err(NsmError::Malformed)
    }
}

/// `struct nsm_raw` of Linux's `include/uapi/linux/nsm.h`.
#[repr(C)]
struct Exchange {
    request: iovec,
    response: iovec,
}

/// Hands the request to the driver and returns how many bytes of `response` it filled.
fn exchange(device: &File, request: &mut [u8], response: &mut [u8]) -> nix::Result<usize> {
    let mut exchange = Exchange {
        request: iovec { iov_base: request.as_mut_ptr().cast(), iov_len: request.len() },
        response: iovec { iov_base: response.as_mut_ptr().cast(), iov_len: response.len() },
    };
    ioctl::nsm_exchange(device, &mut exchange)?;
    Ok(exchange.response.iov_len)
}

/// The one unsafe place of this crate.
mod ioctl {
    #![expect(unsafe_code, reason = "an ioctl with pointers to buffers has no safe interface")]

    use super::{AsRawFd, Exchange, File};

    nix::ioctl_readwrite!(nsm_raw, 0x0A, 0, Exchange);

    /// Calls the driver.
    pub(super) fn nsm_exchange(device: &File, exchange: &mut Exchange) -> nix::Result<()> {
        // SAFETY: `device` is open for the length of the call. `exchange` is the structure that the
        // request number states; its pointers and lengths come from two live, exclusively borrowed
        // slices, which outlive the call in `super::exchange`, their only maker. The driver keeps no
        // pointer, reads no more than the request's length and writes no more than the response's.
        unsafe { nsm_raw(device.as_raw_fd(), exchange) }.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_is_named() {
        let error = DeviceNsm::open_at(Path::new("/nonexistent/nsm")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/nsm"), "{error}");
    }

    #[test]
    fn another_device_refuses_the_call() {
        let nsm = DeviceNsm::open_at(Path::new("/dev/null")).unwrap();
        let error = nsm.process(&NsmRequest::DescribeNsm).unwrap_err();
        let NsmError::Io(source) = error else { panic!("{error:?}") };
        assert_eq!(source.raw_os_error(), Some(Errno::ENOTTY as i32));
    }

    #[test]
    fn a_request_that_cannot_fit_is_not_sent() {
        let nsm = DeviceNsm::open_at(Path::new("/dev/null")).unwrap();
        let around = NsmRequest::ExtendPcr { index: 16, data: vec![0; 1_000] }.encode().len() - 1_000;
        let largest = NsmRequest::ExtendPcr { index: 16, data: vec![0; REQUEST_BYTES_MAX - around] };
        assert!(matches!(nsm.process(&largest), Err(NsmError::Io(_))));
        let request = NsmRequest::ExtendPcr { index: 16, data: vec![0; REQUEST_BYTES_MAX] };
        assert!(matches!(nsm.process(&request), Err(NsmError::RequestTooLarge { .. })));
    }
}
