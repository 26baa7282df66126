// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests with their parameters, and what they are answered with.
//!
//! A request is named by its type's name in snake case. Fields that a reader does not know are skipped, so new ones
//! may be added without a new version; a missing optional field is its default.

mod host;
mod shadows;
mod volumes;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use host::{Event, EventLog, Events, Hello, HelloAnswer, Level, Nothing, Progress, Shutdown, Status, StatusAnswer};
pub use shadows::{
    AbortSnapshot, CommitSnapshot, CreateShadow, CreatedShadow, DeleteShadows, DeletedShadows, HoldWrites, ListShadows,
    PrepareSnapshot, PreparedSnapshot, ReleaseWrites, Shadow, ShadowState, Shadows,
};
pub use volumes::{
    AddShadowstorage, Association, Associations, DeleteShadowstorage, ListProviders, ListShadowstorage, ListVolumes,
    Provider, Providers, ResizeShadowstorage, SetMountPoint, Volume, Volumes,
};

/// A request's parameters, and the type of its answer.
pub trait Call: Serialize + DeserializeOwned {
    /// Its name on the wire.
    const NAME: &'static str;
    /// What it is answered with.
    type Answer: Serialize + DeserializeOwned;
}

macro_rules! calls {
    ($($name:literal $call:ident -> $answer:ty,)*) => {
        $(impl Call for $call {
            const NAME: &'static str = $name;
            type Answer = $answer;
        })*

        /// Any request.
        #[derive(Debug, Clone, PartialEq)]
        #[expect(missing_docs, reason = "each variant is the request of its name, documented there")]
        pub enum Request {
            $($call($call),)*
        }

        impl Request {
            /// The names of all requests.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Reads the parameters of the request called `name`; `None` if there is no such request.
            pub fn parse(name: &str, parameters: Value) -> Option<serde_json::Result<Self>> {
                match name {
                    $($name => Some(serde_json::from_value(parameters).map(Self::$call)),)*
                    _ => None,
                }
            }

            /// Reads `answer` as one to the request called `name`, and writes it again as this version would.
            #[cfg(test)]
            pub(super) fn check_answer(name: &str, answer: &Value) -> Option<serde_json::Result<Value>> {
                match name {
                    $($name => Some(<$answer as serde::Deserialize>::deserialize(answer).and_then(serde_json::to_value)),)*
                    _ => None,
                }
            }

            /// Its parameters as this version writes them.
            #[cfg(test)]
            pub(super) fn parameters(&self) -> Value {
                match self {
                    $(Self::$call(call) => serde_json::to_value(call).unwrap(),)*
                }
            }
        }
    };
}

calls! {
    "hello" Hello -> HelloAnswer,
    "status" Status -> StatusAnswer,
    "list_volumes" ListVolumes -> Volumes,
    "list_shadows" ListShadows -> Shadows,
    "list_shadowstorage" ListShadowstorage -> Associations,
    "list_providers" ListProviders -> Providers,
    "create_shadow" CreateShadow -> CreatedShadow,
    "prepare_snapshot" PrepareSnapshot -> PreparedSnapshot,
    "hold_writes" HoldWrites -> Nothing,
    "commit_snapshot" CommitSnapshot -> CreatedShadow,
    "release_writes" ReleaseWrites -> Nothing,
    "abort_snapshot" AbortSnapshot -> Nothing,
    "delete_shadows" DeleteShadows -> DeletedShadows,
    "add_shadowstorage" AddShadowstorage -> Association,
    "resize_shadowstorage" ResizeShadowstorage -> Association,
    "delete_shadowstorage" DeleteShadowstorage -> Nothing,
    "set_mount_point" SetMountPoint -> Nothing,
    "events" Events -> EventLog,
    "shutdown" Shutdown -> Nothing,
}
