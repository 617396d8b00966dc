use super::*;
use clap::CommandFactory as _;

fn parse(line: &str) -> Result<Command, clap::Error> {
    let words = line.split('|').map(str::trim);
    Arguments::try_parse_from([&["fuzarr"], &words.collect::<Vec<_>>()[..]].concat())
        .map(|arguments| arguments.command)
}

#[test]
fn the_definitions_are_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_has_an_example() {
    for command in Arguments::command().get_subcommands_mut() {
        let help = command.render_long_help().to_string();
        assert!(help.contains("Example") && help.contains("fuzarr "), "{help}");
    }
}

// Seen to fail: no command had the option.
#[test]
fn every_command_that_reads_or_writes_elements_takes_every_setting() {
    for line in ["get | a", "explain | a", "put | a | 0 | 1", "verify | a", "copy | a | b"] {
        for name in Override::names() {
            let value = if name == "memory" { "1MiB" } else { "1" };
            assert!(parse(&format!("{line} | --set | {name}={value}")).is_ok(), "{line} {name}");
            let name_of = line.split(' ').next().unwrap();
            let mut all = Arguments::command();
            let command = all.find_subcommand_mut(name_of).unwrap();
            let help = command.render_long_help().to_string();
            assert!(help.contains(&name), "{name_of} {name}");
        }
        assert!(parse(&format!("{line} | --set | workers=many")).is_err());
        assert!(parse(&format!("{line} | --set | speed=1")).is_err());
    }
}

#[test]
fn a_selection_may_start_with_a_minus_after_two() {
    for (line, selection) in [
        ("get | a.zarr", "..."),
        ("get | a.zarr | 3:31:2, 5:", "3:31:2, 5:"),
        ("get | a.zarr | -1", "-1"),
        ("get | a.zarr | -o | x.npy | -- | -2:, 1", "-2:, 1"),
    ] {
        let Command::Get(get) = parse(line).unwrap() else { panic!("{line}") };
        assert_eq!(get.selection, selection, "{line}");
    }
    assert!(parse("get | a.zarr | -2:").is_err());
    let Command::Put(put) = parse("put | a.zarr | 0 | -1.5e3").unwrap() else { panic!() };
    assert_eq!((put.source.as_str(), put.order), ("-1.5e3", Order::Morton));
    let Command::Put(put) = parse("put | a.zarr | -- | -1 | -inf").unwrap() else { panic!() };
    assert_eq!((put.selection.as_str(), put.source.as_str()), ("-1", "-inf"));
}

#[test]
fn create_wants_shape_type_and_chunks_or_a_document() {
    let line = "create | a | --shape | 3,4 | --dtype | <i2 | --chunks | (2, 2) | --fill | -1";
    let Command::Create(create) = parse(line).unwrap() else { panic!() };
    assert_eq!(create.shape, Some(Lengths(vec![3, 4])));
    assert_eq!(create.chunks, Some(Lengths(vec![2, 2])));
    assert_eq!(create.dtype, Some(DataType::Int16));
    assert_eq!(create.fill.as_deref(), Some("-1"));
    assert!(parse("create | a | --metadata | zarr.json").is_ok());
    for line in [
        "create | a",
        "create | a | --shape | 3 | --dtype | i2",
        "create | a | --shape | 3,-1 | --dtype | i2 | --chunks | 1",
        "create | a | --shape | 3 | --dtype | i3 | --chunks | 1",
        "create | a | --metadata | zarr.json | --shape | 3",
        "create | a | --metadata | zarr.json | --codecs | none",
        "create | a | --shape | 3 | --dtype | i2 | --chunks | 1 | --index-location | start",
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
    assert_eq!(lengths(" [ ] "), Ok(Lengths(vec![])));
}

#[test]
fn copy_takes_shapes_sizes_and_none() {
    let line = "copy | a | b | --chunks | 2,3 | --shards | none | --memory | 512MiB";
    let Command::Copy(copy) = parse(line).unwrap() else { panic!() };
    assert_eq!((copy.chunks, copy.shards), (Some(Lengths(vec![2, 3])), Some(Shards::None)));
    assert_eq!(copy.memory, 512 << 20);
    assert!(parse("copy | a").is_err() && parse("copy | a | b | --workers | 0").is_err());
    for (text, bytes) in
        [("7", 7), ("7 B", 7), ("1k", 1024), ("2kB", 2000), ("3GiB", 3 << 30), ("1T", 1 << 40)]
    {
        assert_eq!(size(text), Ok(bytes), "{text}");
    }
    for text in ["", "MiB", "-1", "1.5G", "1XB", "1MiBs", "99999999999G"] {
        assert!(size(text).is_err(), "{text}");
    }
}
