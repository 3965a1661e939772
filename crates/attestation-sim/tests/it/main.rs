//! The simulator and the verifier against each other.

#[cfg(test)]
mod chain;
#[cfg(test)]
mod device;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod program;
#[cfg(test)]
mod root;
#[cfg(test)]
mod socket;
#[cfg(test)]
mod support;
#[cfg(test)]
mod table;
#[cfg(test)]
mod verdict;
