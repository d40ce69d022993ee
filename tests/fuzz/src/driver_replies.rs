//! What drivers answer, and what they are asked.

use std::fmt::Debug;

use oneks::drivers::read_reply;
use oneks_driver::{
    Bootstrap, Info, Kubeconfig, Observation, Reply, Request, Script, Steps, Validation, reason,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::keeps_secret;

/// The output of a driver; the same bytes are a request as well.
pub(crate) fn reply(data: &[u8]) {
    match read_reply("x", data) {
        Ok(answer) => {
            comes_back::<Info>(&answer);
            comes_back::<Validation>(&answer);
            comes_back::<Bootstrap>(&answer);
            comes_back::<Steps>(&answer);
            comes_back::<Script>(&answer);
            comes_back::<Observation>(&answer);
            comes_back::<Kubeconfig>(&answer);
            if let Ok(kubeconfig) = Kubeconfig::deserialize(&answer) {
                keeps_secret(&String::from_utf8_lossy(data), &format!("{kubeconfig:?}"));
            }
            let written = serde_json::to_vec(&Reply {
                protocol: oneks_driver::PROTOCOL,
                ok: Some(answer.clone()),
                error: None,
            });
            assert_eq!(read_reply("x", &written.unwrap()), Ok(answer));
        }
        Err(error) => {
            keeps_secret(&String::from_utf8_lossy(data), &format!("{error} {error:?}"));
            let own = error.reason == reason::DRIVER_FAILED && error.retry;
            assert!(own || serde_json::from_slice::<Reply>(data).is_ok_and(|r| r.error == Some(error)));
        }
    }
    if let Ok(request) = serde_json::from_slice::<Request>(data) {
        let written = serde_json::to_string(&request).unwrap();
        assert!(
            serde_json::from_str::<Request>(&written).unwrap() == request,
            "{written}"
        );
    }
}

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(answer: &Value) {
    if let Ok(read) = T::deserialize(answer) {
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(T::deserialize(&written).unwrap(), read);
    }
}
