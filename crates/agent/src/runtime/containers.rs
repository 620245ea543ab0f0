//! Between the engine and the containerizer: each wish runs on a task of its own, and its end
//! becomes an event.

use std::sync::Arc;

use model::id::ContainerId;
use wire::v1;

use super::AgentError;
use super::inbox::Inbox;
use crate::containerizer::{Containerizer, LaunchRequest, RecoveredContainer, VolumeLink};
use crate::engine::event::Event;

/// See the module's text.
#[derive(Clone, Debug)]
pub(super) struct Containers {
    containerizer: Arc<dyn Containerizer>,
    inbox: Inbox,
}

impl Containers {
    pub(super) fn new(containerizer: Arc<dyn Containerizer>, inbox: Inbox) -> Self {
        Self { containerizer, inbox }
    }

    pub(super) fn launch(&self, request: LaunchRequest) {
        let (this, container) = (self.clone(), request.container_id.clone());
        tokio::spawn(async move {
            let event = match this.containerizer.launch(request).await {
                Ok(launched) => Event::Launched { container, pid: launched.pid },
                Err(error) => Event::LaunchFailed { container, message: error.to_string() },
            };
            this.tell(event).await;
        });
    }

    pub(super) fn watch(&self, container: ContainerId) {
        let this = self.clone();
        tokio::spawn(async move {
            // One that is unknown has ended.
            let termination = this.containerizer.wait(&container).await.unwrap_or_default();
            this.tell(Event::ContainerTerminated { container, termination }).await;
        });
    }

    pub(super) fn destroy(&self, container: ContainerId) {
        let this = self.clone();
        tokio::spawn(async move { this.containerizer.destroy(&container).await });
    }

    pub(super) fn update(
        &self,
        container: ContainerId,
        resources: Vec<v1::Resource>,
        volumes: Vec<VolumeLink>,
    ) {
        let this = self.clone();
        tokio::spawn(async move {
            let result = this.containerizer.update(&container, resources, volumes).await;
            let result = result.map_err(|error| error.to_string());
            this.tell(Event::ContainerUpdated { container, result }).await;
        });
    }

    pub(super) fn recover(&self, known: Vec<RecoveredContainer>) {
        let this = self.clone();
        tokio::spawn(async move {
            match this.containerizer.recover(known).await {
                Ok(()) => this.tell(Event::ContainersRecovered).await,
                Err(error) => this.inbox.fail(AgentError::Containers(error)).await,
            }
        });
    }

    async fn tell(&self, event: Event) {
        // If the engine is gone the next run of the agent will find out for itself.
        let _ = self.inbox.put(event).await;
    }
}
