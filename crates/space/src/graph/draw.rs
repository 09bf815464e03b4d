//! A graph as text, one line a node.

use std::fmt;

use super::Graph;

/// A table: name, operation in words, output shape, parameters, FLOPs. A node that does not read
/// just the one before it says what it reads. The last line sums up.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["node", "operation", "shape", "parameters", "FLOPs"].map(str::to_owned);
        let total = [
            "total".to_owned(),
            format!("architecture {}", self.hash()),
            String::new(),
            self.parameters().to_string(),
            self.flops().to_string(),
        ];
        let rows: Vec<_> = [header].into_iter().chain(self.rows()).chain([total]).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let [name, op, shape, parameters, flops] = [0, 1, 2, 3, 4].map(|i| width(i).unwrap_or(0));
        for row in &rows {
            let [a, b, c, d, e] = row;
            writeln!(f, "{a:name$}  {b:op$}  {c:>shape$}  {d:>parameters$}  {e:>flops$}")?;
        }
        Ok(())
    }
}

impl Graph {
    fn rows(&self) -> impl Iterator<Item = [String; 5]> + '_ {
        self.ids().map(|id| {
            let node = self.node(id);
            let mut words = node.op.to_string();
            if !node.inputs.iter().map(|input| input.index() + 1).eq([id.index()])
                && !node.inputs.is_empty()
            {
                let names = node.inputs.iter().map(|&input| self.node(input).name.as_str());
                words += &format!(" of {}", names.collect::<Vec<_>>().join(", "));
            }
            [
                node.name.clone(),
                words,
                node.shape.to_string(),
                self.node_parameters(id).to_string(),
                self.node_flops(id).to_string(),
            ]
        })
    }
}
