//! The `relayscope` command.

fn main() {
    let mut args = std::env::args().skip(2);
    let mut overrides = relayscope::config::Overrides::default();
    let mut config = None;
    while let (Some(flag), Some(value)) = (args.next(), args.next()) {
        match flag.as_str() {
            "--listen" => overrides.listen = Some(value),
            "--smart-host" => overrides.smart_host = Some(value),
            "--store" => overrides.store = Some(value.into()),
            "--http" => overrides.http = Some(value),
            "--config" => config = Some(std::path::PathBuf::from(value)),
            _ => {}
        }
    }
    tracing_subscriber::fmt().init();
    match relayscope::config::load(config.as_deref(), &overrides) {
        Err(errors) => {
            eprintln!("{errors}");
            std::process::exit(2);
        }
        Ok(loaded) => match relayscope::app::start(loaded) {
            Err(error) => {
                eprintln!("{error}");
                std::process::exit(2);
            }
            Ok(running) => {
                let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
                let _ = runtime.block_on(running.wait(|| None));
            }
        },
    }
}
