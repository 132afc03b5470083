//! What the proxy tells of itself to those who watch over it: numbers for Prometheus, and whether it is ready for mail.
//!
//! Reading order: [`sources`] (where the numbers come from), [`page`] (families of them, and both text formats), then one file for each part of the
//! house: [`mail`], [`upstreams`], [`keeping`], [`exports`], [`process`]; [`ready`] judges; [`push`] sends them as [`otlp`] has them. Everything is
//! read when somebody asks: nothing here is on the way of mail. A label's value is a name of the configuration or a word of a closed vocabulary, never an address, a domain or a user.

mod exports;
mod keeping;
mod mail;
mod otlp;
mod page;
mod process;
mod push;
mod ready;
mod scrape;
mod sources;
mod upstreams;

pub use page::{Format, Page};
pub use push::{KIND as PUSHED, Push};
pub use ready::{Readiness, Reason};
pub use scrape::Scrape;
pub use sources::{ListenerSetup, OpenIncidents, Reload, Setup, Sources, UpstreamSetup};

impl Sources {
    /// All numbers at this moment. It reads files of the store: not for threads that serve sockets. `store`: those of the store, if they could be had in time.
    pub fn page(&self, store: Option<&crate::store::StoreStats>) -> Page {
        let mut page = Page::default();
        let setup = self.setup.borrow().clone();
        process::add(&mut page, self, &setup);
        mail::add(&mut page, &self.counters);
        upstreams::add(&mut page, &self.counters, &setup);
        keeping::add(&mut page, self, store);
        exports::add(&mut page, &self.exports.borrow());
        page
    }
}
