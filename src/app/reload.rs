//! A changed configuration is taken over while mail flows, as far as it can be.

use super::{Running, build, doctor};
use crate::config::Loaded;

impl Running {
    /// Takes over what can change while running: everything but addresses, workers and the store. Whether it was taken over.
    pub(super) fn reload(&mut self, mut loaded: Loaded) -> bool {
        let stores = loaded.store != self.loaded.store || loaded.workers != self.loaded.workers;
        let serves = loaded.http != self.loaded.http;
        // What goes on as it is must be read as it is, by whoever asks from now on.
        loaded.keep_what_takes_a_restart(&self.loaded);
        match self.built.rebuild(&loaded) {
            Ok(built) => {
                if stores {
                    tracing::warn!("[store] and `workers` change only with a restart");
                }
                if serves {
                    tracing::warn!("[http] changes only with a restart");
                }
                self.built = built;
                self.workers.first().into_iter().for_each(|worker| self.built.warn_of_restart(worker));
                for worker in &self.workers {
                    self.built.refresh(&loaded, &self.counters, worker);
                }
                self.diagnosing.send_replace(loaded.diagnosing.clone());
                self.dns.send_replace(Some(self.built.dns()));
                self.doctor.send_replace(self.built.doctor(&loaded));
                self.running.send_replace(self.built.running(&loaded));
                doctor::keep_configuration(&loaded);
                self.loaded = loaded;
                self.life.reloaded(&self.store, build::origin(&self.loaded));
                self.telemetry.reloaded(&self.built, &self.loaded, &self.workers, self.store.now());
                tracing::info!(config = self.loaded.digest, "reloaded");
                true
            }
            Err(error) => {
                tracing::error!("{error}");
                self.refuse_reload(error.to_string());
                false
            }
        }
    }

    pub(super) fn refuse_reload(&self, why: String) {
        self.telemetry.reload_refused();
        self.life.reload_refused(&self.store, why);
        tracing::error!("reload refused, the old configuration goes on");
    }

    /// Watches and forwards by the configuration that holds now.
    pub(super) async fn watch_anew(&mut self) {
        self.end_watching().await;
        self.end_exports().await;
        self.exports.borrow().iter().for_each(|handle| handle.status.report_anew());
        if !self.given_up {
            self.watch();
            self.export();
        }
    }
}
