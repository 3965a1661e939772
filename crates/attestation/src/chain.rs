//! The certificate path (RFC 5280 §6, AWS's attestation_process.md §3.2.3): from the pinned root, through
//! any number of authorities, to the certificate of the key that signed the document.
//!
//! The root is pinned by its exact bytes, never by its name. Each certificate below it must be signed by
//! the one before and name it as issuer; each authority must be one (CA flag, path length, key usage),
//! and the leaf must not be. When the certificates are valid is asked separately and last: an expired
//! chain is still AWS's, and the error should say so.

mod certificate;
mod error;

pub use error::{ChainError, ChainProblem};

pub(crate) use certificate::{Certificate, Role};

/// A path whose every rule but time was checked.
#[derive(Debug)]
pub(crate) struct Chain<'a> {
    /// Root first.
    authorities: Vec<Certificate<'a>>,
    leaf: Certificate<'a>,
}

/// A certificate outside its validity.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OutsideValidity {
    /// The certificate at `index` begins later, in Unix seconds.
    NotYet { index: usize, not_before_secs: i64 },
    /// The certificate at `index` ended earlier, in Unix seconds.
    Expired { index: usize, not_after_secs: i64 },
}

impl<'a> Chain<'a> {
    /// Follows the path from `root` through `cabundle` (root first) to `leaf`.
    pub(crate) fn follow(cabundle: &[&'a [u8]], leaf: &'a [u8], root: &[u8]) -> Result<Self, ChainError> {
        let at = |index| move |problem| ChainError { index, problem };
        if cabundle.first().is_none_or(|first| *first != root) {
            return Err(at(0)(ChainProblem::NotTheRoot));
        }
        let mut authorities = Vec::with_capacity(cabundle.len());
        for (index, der) in cabundle.iter().enumerate() {
            // RFC 5280 §6.1: a certificate occurs once in a path. Only a self-signed one could occur twice.
            if cabundle.iter().take(index).any(|above| above == der) {
                return Err(at(index)(ChainProblem::Repeated));
            }
            // How many authorities stand below this one (RFC 5280 §4.2.1.9). Self-issued ones, which the
            // RFC leaves out, do not occur in these chains; counting them is the stricter reading.
            let role = Role::Authority { below: cabundle.len() - index - 1 };
            let authority = issued(authorities.last(), der, role).map_err(at(index))?;
            authorities.push(authority);
        }
        let leaf = issued(authorities.last(), leaf, Role::Leaf).map_err(at(cabundle.len()))?;
        Ok(Self { authorities, leaf })
    }

    /// The certificate of the key that signed the document.
    pub(crate) const fn leaf(&self) -> &Certificate<'a> {
        &self.leaf
    }

    /// Checks that every certificate, the root's included, is valid at `at_secs`, to the second and with
    /// no leeway.
    pub(crate) fn check_validity(&self, at_secs: i64) -> Result<(), OutsideValidity> {
        for (index, certificate) in self.authorities.iter().chain([&self.leaf]).enumerate() {
            if at_secs < certificate.not_before_secs {
                let not_before_secs = certificate.not_before_secs;
                return Err(OutsideValidity::NotYet { index, not_before_secs });
            }
            if at_secs > certificate.not_after_secs {
                return Err(OutsideValidity::Expired { index, not_after_secs: certificate.not_after_secs });
            }
        }
        Ok(())
    }
}

/// Reads a certificate and, unless it is the pinned root, checks that `issuer` issued it.
fn issued<'a>(
    issuer: Option<&Certificate<'_>>,
    der: &'a [u8],
    role: Role,
) -> Result<Certificate<'a>, ChainProblem> {
    let certificate = Certificate::parse(der, role)?;
    if let Some(issuer) = issuer {
        certificate.check_issued_by(issuer)?;
    }
    Ok(certificate)
}
