//! Changing an environment.

use std::collections::BTreeMap;
use std::fmt;

use nostr::key::PublicKey;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::launch::{ParamError, check_env, parse_params};
use crate::rpc::Code;
use crate::secrets::Sealed;

/// Parameters of `set_env`. `Debug` does not show values.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetEnvParams {
    /// The container's key.
    #[schema(value_type = String)]
    pub pubkey: PublicKey,
    /// The whole environment as it is to be. Left out, nothing that the container sees changes, and `secrets` hold
    /// the owner's account at the image's registry alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    /// All secrets as they are to be, sealed by the owner to the service key; they stay if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub secrets: Option<Sealed>,
}

impl fmt::Debug for SetEnvParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Option<Vec<_>> = self.env.as_ref().map(|env| env.keys().collect());
        f.debug_struct("SetEnvParams")
            .field("pubkey", &self.pubkey)
            .field("env", &names)
            .finish_non_exhaustive()
    }
}

impl SetEnvParams {
    /// Parses and checks every field, by the rules of a launch.
    ///
    /// # Errors
    /// A [`ParamError`] with the code of the field and what to do.
    pub fn parse(params: &Value) -> Result<Self, ParamError> {
        let params: Self = parse_params(params)?;
        match &params.env {
            Some(env) => check_env(env)?,
            None if params.secrets.is_some() => {}
            None => {
                let message = "env: say what it is to be; or leave it out, and give secrets with a registry";
                return Err(ParamError::new(Code::ParamsInvalid, message));
            }
        }
        Ok(params)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn environment_is_judged_by_the_rules_of_a_launch() {
        let key = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
        let parse = |env: Value| SetEnvParams::parse(&json!({"pubkey": key, "env": env}));
        let good = parse(json!({"MODE": "hunter2"})).unwrap();
        assert!(!format!("{good:?}").contains("hunter2"));
        assert!(good.secrets.is_none() && parse(json!({})).is_ok());
        for bad in [json!({"1A": "x"}), json!({"ENCLAVED_TOKEN": "x"}), json!({"A": "x\nB=y"})] {
            assert_eq!(parse(bad.clone()).unwrap_err().code.as_str(), "env_invalid", "{bad}");
        }
        assert_eq!(parse(json!({"A": "x".repeat(40_000)})).unwrap_err().code.as_str(), "params_invalid");
        let account = json!({"pubkey": key, "secrets": "sealed"});
        assert!(SetEnvParams::parse(&account).unwrap().env.is_none());
        for bad in [json!({"pubkey": key}), json!({"env": {}}), json!({"pubkey": key, "env": {}, "x": 1})] {
            assert!(SetEnvParams::parse(&bad).is_err(), "{bad}");
        }
    }
}
