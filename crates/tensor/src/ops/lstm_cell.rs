use super::check;
use crate::{DType, Error, Memory, Result, Tensor};

/// The geometry of one step of an LSTM (Hochreiter and Schmidhuber 1997, "Long short-term memory",
/// with the forget gate of Gers et al. 2000 and without peepholes):
///
/// ```text
/// i | f | g | o = x W_ih + bias + h W_hh
/// c' = sigmoid(f) c + sigmoid(i) tanh(g)
/// h' = sigmoid(o) tanh(c')
/// ```
///
/// The four gates of a row, input, forget, candidate and output, lie one after the other in a row
/// of `4 units`, and so do the columns of the weights. The product with `x` is not part of the
/// step: one matrix product makes it for many steps at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LstmCell {
    /// Sequences side by side.
    pub batch: usize,
    /// Hidden units.
    pub units: usize,
}

/// What a step starts from, in buffers or tensors.
#[derive(Debug)]
pub struct LstmInputs<'a, T> {
    /// `x W_ih + bias`, `[batch, 4 units]`.
    pub projection: &'a T,
    /// The hidden state before the step, `[batch, units]`.
    pub h: &'a T,
    /// The cell state before the step, `[batch, units]`.
    pub c: &'a T,
    /// `W_hh`, `[units, 4 units]`.
    pub recurrent: &'a T,
}

/// Where the results of a step go.
#[derive(Debug)]
pub struct LstmOutputs<'a, T> {
    /// The gates after their activation, `[batch, 4 units]`, for the gradient.
    pub gates: &'a mut T,
    /// The hidden state after the step, `[batch, units]`.
    pub h: &'a mut T,
    /// The cell state after the step, `[batch, units]`.
    pub c: &'a mut T,
}

/// What the gradient of a step starts from, in buffers or tensors.
#[derive(Debug)]
pub struct LstmGradientInputs<'a, T> {
    /// The gradient of the hidden state after the step, `[batch, units]`.
    pub dh: &'a T,
    /// The gates that the step left, `[batch, 4 units]`.
    pub gates: &'a T,
    /// The cell state before the step, `[batch, units]`.
    pub c_before: &'a T,
    /// The cell state after it, `[batch, units]`.
    pub c: &'a T,
    /// `W_hh`, `[units, 4 units]`.
    pub recurrent: &'a T,
}

/// Where the gradients of a step go.
#[derive(Debug)]
pub struct LstmGradients<'a, T> {
    /// The gradient of the cell state, `[batch, units]`: in, that of the state after the step, as
    /// far as it does not come through this step's hidden state; out, that of the state before it.
    pub dc: &'a mut T,
    /// The gradient of the gates before their activation, `[batch, 4 units]`, which is that of the
    /// projection.
    pub dgates: &'a mut T,
    /// The gradient of the hidden state before the step, `[batch, units]`: `dgates W_hh^T`.
    pub dh_before: &'a mut T,
}

/// LSTM steps on a device, in f32. A gate is off by less than 1e-6, the error of a fast
/// exponential.
pub trait LstmCellBackend: Memory {
    /// One step.
    fn lstm_cell(
        &self,
        geometry: &LstmCell,
        inputs: LstmInputs<'_, Self::Buffer>,
        outputs: LstmOutputs<'_, Self::Buffer>,
    ) -> Result<()>;

    /// The gradients of a step, but for that of `W_hh`, which is `h^T dgates`: one matrix product
    /// adds it up over many steps.
    fn lstm_cell_backward(
        &self,
        geometry: &LstmCell,
        inputs: LstmGradientInputs<'_, Self::Buffer>,
        gradients: LstmGradients<'_, Self::Buffer>,
    ) -> Result<()>;
}

/// One step of an LSTM, see [`LstmCell`]. Returns the hidden state, the cell state and the gates
/// that [`lstm_cell_backward`] takes.
///
/// # Errors
/// [`Error::Shape`] unless `h` is a matrix with columns; [`Error::ShapeMismatch`] unless the others
/// have the shapes that [`LstmInputs`] says; [`Error::DType`] unless all are f32.
pub fn lstm_cell<B: LstmCellBackend>(
    inputs: LstmInputs<'_, Tensor<B>>,
) -> Result<(Tensor<B>, Tensor<B>, Tensor<B>)> {
    const OP: &str = "lstm_cell";
    let LstmInputs { projection, h, c, recurrent } = inputs;
    let geometry = LstmCell::of(OP, h)?;
    geometry.check_state(OP, c)?;
    geometry.check_gates(OP, projection)?;
    geometry.check_recurrent(OP, recurrent)?;
    let on = h.backend();
    let zeros = |columns| Tensor::zeros(on, DType::F32, [geometry.batch, columns]);
    let (mut new_h, mut new_c) = (zeros(geometry.units)?, zeros(geometry.units)?);
    let mut gates = zeros(4 * geometry.units)?;
    let inputs = LstmInputs {
        projection: projection.buffer(),
        h: h.buffer(),
        c: c.buffer(),
        recurrent: recurrent.buffer(),
    };
    let outputs =
        LstmOutputs { gates: gates.buffer_mut()?, h: new_h.buffer_mut()?, c: new_c.buffer_mut()? };
    on.lstm_cell(&geometry, inputs, outputs)?;
    Ok((new_h, new_c, gates))
}

/// The gradients of [`lstm_cell`]: of the projection, `[batch, 4 units]`, of the hidden state
/// before the step and of the cell state before it. `dc` is the gradient of the cell state after
/// the step, as far as it does not come through the step's hidden state. That of `W_hh` is
/// `h^T dgates`, a [`matmul`](super::matmul).
///
/// # Errors
/// Those of [`lstm_cell`], for [`LstmGradientInputs`].
pub fn lstm_cell_backward<B: LstmCellBackend>(
    inputs: LstmGradientInputs<'_, Tensor<B>>,
    dc: &Tensor<B>,
) -> Result<(Tensor<B>, Tensor<B>, Tensor<B>)> {
    const OP: &str = "lstm_cell_backward";
    let LstmGradientInputs { dh, gates, c_before, c, recurrent } = inputs;
    let geometry = LstmCell::of(OP, dh)?;
    for state in [c_before, c, dc] {
        geometry.check_state(OP, state)?;
    }
    geometry.check_gates(OP, gates)?;
    geometry.check_recurrent(OP, recurrent)?;
    let on = dh.backend();
    let mut dc = dc.clone();
    let mut dgates = Tensor::zeros(on, DType::F32, gates.shape())?;
    let mut dh_before = Tensor::zeros(on, DType::F32, dh.shape())?;
    let inputs = LstmGradientInputs {
        dh: dh.buffer(),
        gates: gates.buffer(),
        c_before: c_before.buffer(),
        c: c.buffer(),
        recurrent: recurrent.buffer(),
    };
    let gradients = LstmGradients {
        dc: dc.buffer_mut()?,
        dgates: dgates.buffer_mut()?,
        dh_before: dh_before.buffer_mut()?,
    };
    on.lstm_cell_backward(&geometry, inputs, gradients)?;
    Ok((dgates, dh_before, dc))
}

impl LstmCell {
    /// The geometry of a step with this state.
    fn of<B: Memory>(op: &'static str, state: &Tensor<B>) -> Result<Self> {
        check::dtype(op, state, DType::F32, "f32")?;
        match *state.shape().dims() {
            [batch, units] if units > 0 => Ok(LstmCell { batch, units }),
            _ => {
                let rule = "a state is [batch, units] with at least one unit";
                Err(Error::Shape { op, shape: state.shape(), rule })
            }
        }
    }

    fn check_state<B: Memory>(&self, op: &'static str, state: &Tensor<B>) -> Result<()> {
        check::dtype(op, state, DType::F32, "f32")?;
        check::shape(op, state.shape(), [self.batch, self.units].into(), "[batch, units] states")
    }

    fn check_gates<B: Memory>(&self, op: &'static str, gates: &Tensor<B>) -> Result<()> {
        check::dtype(op, gates, DType::F32, "f32")?;
        let shape = [self.batch, 4 * self.units];
        check::shape(op, gates.shape(), shape.into(), "[batch, 4 units] gates")
    }

    fn check_recurrent<B: Memory>(&self, op: &'static str, recurrent: &Tensor<B>) -> Result<()> {
        check::dtype(op, recurrent, DType::F32, "f32")?;
        let shape = [self.units, 4 * self.units];
        check::shape(op, recurrent.shape(), shape.into(), "[units, 4 units] recurrent weights")
    }
}
