//! `nasrl space`

use std::collections::BTreeSet;

use clap::Subcommand;
use nasrl_search::text::{Column, about, large, table};
use nasrl_space::{Decision, Image, Space, Value};
use nasrl_tensor::random::{Key, Philox};

use super::drawing;
use crate::exit::{CommandError, CommandResult, Exit, refused};
use crate::output::{put, say};

/// Look at search spaces.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: SpaceCommand,
}

#[derive(Subcommand)]
enum SpaceCommand {
    /// List the built-in spaces, with their numbers of layers and of token strings.
    List,
    /// Print the decisions of a space, or draw the network that tokens build.
    Show {
        #[command(flatten)]
        space: SpaceArgument,
        /// Draw the network of these tokens: the value of each decision, in order, separated by
        /// commas, such as 3,64,3,64,3,32,3,64; layer by layer with slashes between where skips
        /// are decided, such as "3,3,24 / 3,5,36,1 / 7,1,48,01".
        #[arg(long, value_name = "VALUES")]
        tokens: Option<String>,
        /// Print every node of it in place of a drawing.
        #[arg(long, requires = "tokens", conflicts_with = "export")]
        nodes: bool,
        /// The height, width and channels of the images that the network is for.
        #[arg(long, value_name = "HxWxC", default_value = "28x28x1", value_parser = parse_image)]
        image: Image,
        /// The number of classes that the network is for.
        #[arg(long, value_name = "N", default_value_t = 10)]
        classes: usize,
        /// Print it for other programs: the space as TOML, a network as JSON.
        #[arg(long)]
        export: bool,
    },
    /// Print how many token strings a space has; of a space of several depths, of the largest.
    Count {
        #[command(flatten)]
        space: SpaceArgument,
    },
    /// Print token strings drawn uniformly, one a line; in a space of several depths, of the
    /// largest.
    Sample {
        #[command(flatten)]
        space: SpaceArgument,
        /// How many.
        #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
        count: u64,
        /// What the draws are derived from.
        #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
        seed: u64,
    },
}

/// Which space.
#[derive(clap::Args)]
struct SpaceArgument {
    /// A built-in space, or a TOML file. Default: reference.
    #[arg(long = "space", value_name = "NAME|FILE")]
    option: Option<String>,
    #[arg(hide = true, conflicts_with = "option")]
    operand: Option<String>,
    /// The space with so many layers and no other number. Default: all that it has.
    #[arg(long, value_name = "N")]
    depth: Option<usize>,
    /// The space with batch normalisation after every convolution.
    #[arg(long)]
    batch_norm: bool,
}

impl SpaceArgument {
    fn open(&self) -> Result<Space, CommandError> {
        let name = self.option.as_ref().or(self.operand.as_ref());
        let mut space = Space::open(name.map_or(DEFAULT_SPACE, String::as_str)).map_err(refused)?;
        if self.batch_norm {
            space = space.with_batch_norm().map_err(refused)?;
        }
        match self.depth {
            Some(depth) => space.at_depth(depth).map_err(refused),
            None => Ok(space),
        }
    }
}

const DEFAULT_SPACE: &str = "reference";

pub(crate) fn run(arguments: Arguments) -> CommandResult {
    match arguments.command {
        SpaceCommand::List => list()?,
        SpaceCommand::Show { space, tokens: None, export: true, .. } => {
            put!("{}", space.open()?.to_toml());
        }
        SpaceCommand::Show { space, tokens: None, .. } => show_decisions(&space.open()?),
        SpaceCommand::Show { space, tokens: Some(tokens), image, classes, nodes, export } => {
            let space = space.open()?;
            let tokens = space.parse(&tokens).map_err(refused)?;
            let graph = space.build(&tokens, image, classes).map_err(refused)?;
            match (export, nodes) {
                (true, _) => say!("{}", graph.to_json()),
                (false, true) => put!("{}\n\n{graph}", space.describe(&tokens)),
                (false, false) => put!("{}\n\n{}", space.describe(&tokens), drawing(&graph)),
            }
        }
        SpaceCommand::Count { space } => say!("{}", space.open()?.count()),
        SpaceCommand::Sample { space, count, seed } => {
            let space = space.open()?;
            let mut stream = Philox::new(Key::new(seed, 0, "space sample"));
            for _ in 0..count {
                say!("{}", space.format(&space.sample(&mut stream)));
            }
        }
    }
    Ok(Exit::Done)
}

fn list() -> Result<(), CommandError> {
    let columns = [
        Column::words("space"),
        Column::numbers("layers"),
        Column::numbers("decisions"),
        Column::numbers("about"),
        Column::words("token strings"),
    ];
    let mut rows = Vec::new();
    for name in Space::built_in() {
        let space = Space::open(name).map_err(refused)?;
        // The depths between can be asked for one by one.
        for depth in BTreeSet::from([*space.depths().start(), *space.depths().end()]) {
            let space = space.at_depth(depth).map_err(refused)?;
            let count = space.count();
            rows.push(vec![
                name.to_owned(),
                depth.to_string(),
                space.decisions().len().to_string(),
                about(&count),
                count.to_string(),
            ]);
        }
    }
    put!("{}", table(&columns, rows.into_iter()));
    say!(
        "Of a space of several depths the least and the largest are shown; see space count --depth."
    );
    say!("A TOML file can be given wherever a space is asked for.");
    Ok(())
}

fn show_decisions(space: &Space) {
    let columns = [Column::numbers("position"), Column::words("decision"), Column::words("values")];
    let row = |(position, decision): (usize, &Decision)| {
        let values = decision.values().iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        vec![(position + 1).to_string(), decision.name().to_owned(), values]
    };
    let decisions = space.decisions().iter().enumerate();
    say!("space {}", space.name());
    put!("{}", table(&columns, decisions.map(row)));
    let depths = space.depths();
    if depths.clone().count() > 1 {
        say!("{} to {} layers", depths.start(), depths.end());
    }
    say!("{} token strings", large(&space.count()));
}

/// Reads height, width and channels such as `32x32x3`.
fn parse_image(text: &str) -> Result<Image, String> {
    let numbers: Option<Vec<usize>> = text.split('x').map(|part| part.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[height, width, channels]) => Ok(Image { height, width, channels }),
        _ => Err("expected height, width and channels, such as 32x32x3".to_owned()),
    }
}
