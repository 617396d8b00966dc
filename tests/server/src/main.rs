//! The server by itself: prints its address, and runs until its standard input ends.

use std::io::Read as _;

fn main() -> std::io::Result<()> {
    let server = fuzarr_test_server::Server::start(2)?;
    println!("{}", server.endpoint());
    // Whoever started it is gone when this ends.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
