use crate::{Memory, Result};

/// The geometry of one step of an LSTM. Gates lie in the order input, forget, candidate, output:
/// a row of `4 units` is `i | f | g | o`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LstmCell {
    /// Sequences side by side.
    pub batch: usize,
    /// Hidden units.
    pub units: usize,
}

/// What a step starts from.
#[derive(Debug)]
pub struct LstmInputs<'a, T> {
    /// `x W_ih + bias`, `[batch, 4 units]`.
    pub projection: &'a T,
    /// The last hidden state, `[batch, units]`.
    pub h: &'a T,
    /// The last cell state, `[batch, units]`.
    pub c: &'a T,
    /// `W_hh`, `[units, 4 units]`.
    pub recurrent: &'a T,
}

/// What a step gives.
#[derive(Debug)]
pub struct LstmOutputs<'a, T> {
    /// The activated gates, `[batch, 4 units]`, for the gradient.
    pub gates: &'a mut T,
    /// The hidden state, `[batch, units]`.
    pub h: &'a mut T,
    /// The cell state, `[batch, units]`.
    pub c: &'a mut T,
}

/// What the gradient of a step starts from.
#[derive(Debug)]
pub struct LstmGradientInputs<'a, T> {
    /// The gradient of the hidden state.
    pub dh: &'a T,
    /// The activated gates.
    pub gates: &'a T,
    /// The cell state before the step.
    pub c_before: &'a T,
    /// The cell state after it.
    pub c: &'a T,
    /// `W_hh`.
    pub recurrent: &'a T,
}

/// What the gradient of a step gives.
#[derive(Debug)]
pub struct LstmGradients<'a, T> {
    /// The gradient of the cell state after the step; becomes that before it.
    pub dc: &'a mut T,
    /// The gradient of the gates before their activation, `[batch, 4 units]`.
    pub dgates: &'a mut T,
    /// The gradient of the hidden state before the step.
    pub dh_before: &'a mut T,
}

/// LSTM steps on a device, in f32.
pub trait LstmCellBackend: Memory {
    /// `i, f, o = sigmoid`, `g = tanh` of `projection + h W_hh`; `c' = f c + i g`,
    /// `h' = o tanh(c')`.
    fn lstm_cell(
        &self,
        geometry: &LstmCell,
        inputs: LstmInputs<'_, Self::Buffer>,
        outputs: LstmOutputs<'_, Self::Buffer>,
    ) -> Result<()>;

    /// The gradients of [`LstmCellBackend::lstm_cell`]; that of `W_hh` is `h^T dgates`.
    fn lstm_cell_backward(
        &self,
        geometry: &LstmCell,
        inputs: LstmGradientInputs<'_, Self::Buffer>,
        gradients: LstmGradients<'_, Self::Buffer>,
    ) -> Result<()>;
}
