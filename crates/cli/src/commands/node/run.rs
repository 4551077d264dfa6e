//! The words of `tocsin run`.

/// Run the node, in the foreground, until it is told to stop.
///
/// SIGTERM and SIGINT stop it gracefully, SIGHUP loads the policy anew. It logs to standard error. A second node on
/// one home is refused, and told which process holds it. A disk fault, or any part of the node that fails and that it
/// cannot do without, ends it within a second with exit code 2: start it again. While the disk only hangs it stays,
/// says so in `tocsin status` and in its log, and calls no answer complete.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin --home ./aa run
  tocsin --home ./aa run --log debug
  kill -HUP $(cat ./aa/run.lock)          load policy.cedar anew")]
pub struct Args {
    /// What to log: error, warn, info, debug, trace, or a filter (default: `log` of the configuration)
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// Log JSON lines
    #[arg(long)]
    pub log_json: bool,
    /// Stop when standard input ends, as it does with the program that holds its other end, even if that is killed
    #[arg(long, hide = true)]
    pub until_input_ends: bool,
}
