// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a host does for its clients. The server reads, checks and answers messages; this is all the rest.

use super::Error;
use super::messages::{
    AbortSnapshot, AddShadowstorage, Association, Associations, CommitSnapshot, CreateShadow, CreatedShadow,
    DeleteShadows, DeleteShadowstorage, DeletedShadows, EventLog, Events, HoldWrites, ListShadows, ListShadowstorage,
    Nothing, PrepareSnapshot, PreparedSnapshot, Progress, Providers, ReleaseWrites, ResizeShadowstorage, SetMountPoint,
    Shadows, StatusAnswer, Volumes,
};

/// An answer or an error, both for the client.
pub type Answer<T> = Result<T, Error>;

/// Takes progress messages of a long request. May be called as often as is convenient: the server sends the first,
/// and then at most ten a second.
pub type ReportProgress<'a> = &'a mut dyn FnMut(Progress);

/// A host. Calls come from several connections at once, each on its own thread, and may block; the time for which
/// writes are held is the host's to limit.
///
/// A volume parameter that is `None` means the only volume, or is an error where there are several.
pub trait Service: Send + Sync + 'static {
    /// The name of the host, as in its socket's name.
    fn name(&self) -> String;

    /// See [`super::messages::Status`].
    ///
    /// # Errors
    /// As for every request: an error object for the client.
    fn status(&self) -> Answer<StatusAnswer>;

    /// See [`super::messages::ListVolumes`].
    ///
    /// # Errors
    /// An error object for the client.
    fn list_volumes(&self) -> Answer<Volumes>;

    /// See [`ListShadows`]. Filters that fit nothing give an empty list.
    ///
    /// # Errors
    /// An error object for the client.
    fn list_shadows(&self, filter: ListShadows) -> Answer<Shadows>;

    /// See [`ListShadowstorage`].
    ///
    /// # Errors
    /// An error object for the client.
    fn list_shadowstorage(&self, filter: ListShadowstorage) -> Answer<Associations>;

    /// See [`super::messages::ListProviders`].
    ///
    /// # Errors
    /// An error object for the client.
    fn list_providers(&self) -> Answer<Providers>;

    /// See [`CreateShadow`].
    ///
    /// # Errors
    /// `InProgress` while another set is being made, `NoSpace` where the diff area does not fit.
    fn create_shadow(&self, options: CreateShadow, progress: ReportProgress<'_>) -> Answer<CreatedShadow>;

    /// See [`PrepareSnapshot`].
    ///
    /// # Errors
    /// As [`Service::create_shadow`].
    fn prepare_snapshot(&self, options: PrepareSnapshot, progress: ReportProgress<'_>) -> Answer<PreparedSnapshot>;

    /// See [`HoldWrites`]; the limit is between 1 and [`HoldWrites::MAX_LIMIT_MS`].
    ///
    /// # Errors
    /// `NotFound` for a set that is not there, `BadState` for one that is not prepared.
    fn hold_writes(&self, hold: HoldWrites) -> Answer<Nothing>;

    /// See [`CommitSnapshot`].
    ///
    /// # Errors
    /// `HoldExpired` if it took too long, `BadState` if writes are not held.
    fn commit_snapshot(&self, commit: CommitSnapshot) -> Answer<CreatedShadow>;

    /// See [`ReleaseWrites`]. Succeeds also when the limit has released them already.
    ///
    /// # Errors
    /// `NotFound` for a set that never was.
    fn release_writes(&self, release: ReleaseWrites) -> Answer<Nothing>;

    /// See [`AbortSnapshot`]. The server calls it, too, for a set whose client went away.
    ///
    /// # Errors
    /// `BadState` for a set that is committed.
    fn abort_snapshot(&self, abort: AbortSnapshot) -> Answer<Nothing>;

    /// See [`DeleteShadows`].
    ///
    /// # Errors
    /// `NotFound` for an id that is not there. `Oldest` and `All` of none is an empty answer.
    fn delete_shadows(&self, which: DeleteShadows, progress: ReportProgress<'_>) -> Answer<DeletedShadows>;

    /// See [`AddShadowstorage`].
    ///
    /// # Errors
    /// `AlreadyExists`, or `NotSupported` for a storage volume that the host cannot use.
    fn add_shadowstorage(&self, wanted: AddShadowstorage) -> Answer<Association>;

    /// See [`ResizeShadowstorage`].
    ///
    /// # Errors
    /// `NotFound` if there is no such association.
    fn resize_shadowstorage(&self, wanted: ResizeShadowstorage, progress: ReportProgress<'_>) -> Answer<Association>;

    /// See [`DeleteShadowstorage`].
    ///
    /// # Errors
    /// `Busy` while shadow copies are stored there.
    fn delete_shadowstorage(&self, which: DeleteShadowstorage) -> Answer<Nothing>;

    /// See [`SetMountPoint`].
    ///
    /// # Errors
    /// `InvalidArgument` if the served volume is not what is mounted there.
    fn set_mount_point(&self, mount: SetMountPoint) -> Answer<Nothing>;

    /// See [`Events`].
    ///
    /// # Errors
    /// An error object for the client.
    fn events(&self, since: Events) -> Answer<EventLog>;

    /// Asks the host to end. It returns at once, and the host then shuts the server down from another thread: the
    /// server waits for this very request.
    ///
    /// # Errors
    /// An error object for the client.
    fn shutdown(&self) -> Answer<Nothing>;
}
