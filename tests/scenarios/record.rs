//! Expectations: the records that `expect.inc` puts into the image.

use iretrace::load::Image;

/// What a field holds that the case does not give.
const UNSET: u64 = 0x5e5e_5e5e_5e5e_5e5e;
/// Quadwords of a record.
const FIELDS: usize = 20;

/// Everything that is looked at after a delivery, or where the run ends.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub rip: u64,
    pub cs: u64,
    pub rflags: Option<u64>,
    pub rsp: u64,
    pub ss: u64,
    pub cr2: Option<u64>,
    pub dr6: Option<u64>,
    /// Bit 0: blocked; bit 1: pending.
    pub nmi: Option<u64>,
    /// RCX, RSI, RDI, RAX.
    pub registers: [Option<u64>; 4],
}

/// A delivery: `state` is what the frame holds.
#[derive(Clone, Debug)]
pub struct Expected {
    pub vector: u8,
    pub error_code: Option<u64>,
    pub ist: u64,
    pub state: State,
}

/// How the run ends.
#[derive(Clone, Debug)]
pub enum End {
    /// After the last delivery.
    Delivered,
    Reaches(State),
    ShutDown(State),
    Sleeps(State),
}

/// All that a case expects.
#[derive(Clone, Debug)]
pub struct Expectations {
    pub deliveries: Vec<Expected>,
    pub end: End,
    /// Address and value of quadwords.
    pub holds: Vec<(u64, u64)>,
    /// Address and length.
    pub wrote: Vec<(u64, u64)>,
    /// Address and low bits of its PTE.
    pub pte_bits: Vec<(u64, u64)>,
}

fn given(value: u64) -> Option<u64> {
    (value != UNSET).then_some(value)
}

/// Reads the records of `image`.
pub fn read(image: &Image) -> Result<Expectations, String> {
    let symbol = |name: &str| image.resolve(name).map(|a| a.0).map_err(|e| e.to_string());
    let (start, end) = (symbol("expectations")?, symbol("expectations_end")?);
    let bytes = bytes_at(image, start, end).ok_or("the expectations are not in the image")?;
    let words: Vec<u64> = bytes
        .as_chunks()
        .0
        .iter()
        .map(|c| u64::from_le_bytes(*c))
        .collect();
    let mut all = Expectations {
        deliveries: Vec::new(),
        end: End::Delivered,
        holds: Vec::new(),
        wrote: Vec::new(),
        pte_bits: Vec::new(),
    };
    for r in words.chunks_exact(FIELDS) {
        let state = State {
            rip: r[3],
            cs: r[4],
            rflags: given(r[5]),
            rsp: r[6],
            ss: r[7],
            cr2: given(r[8]),
            dr6: given(r[9]),
            nmi: given(r[10]),
            registers: [given(r[12]), given(r[13]), given(r[14]), given(r[15])],
        };
        match r[0] {
            1 => all.deliveries.push(Expected {
                vector: r[1] as u8,
                error_code: given(r[2]),
                ist: r[11],
                state,
            }),
            2 => all.end = End::Reaches(state),
            3 => all.end = End::ShutDown(state),
            4 => all.end = End::Sleeps(state),
            5 => all.holds.push((r[3], r[1])),
            6 => all.wrote.push((r[3], r[1])),
            7 => all.pte_bits.push((r[3], r[1])),
            kind => return Err(format!("a record of the unknown kind {kind}")),
        }
    }
    if all.deliveries.is_empty() && matches!(all.end, End::Delivered) {
        return Err("the case expects nothing".to_owned());
    }
    Ok(all)
}

fn bytes_at(image: &Image, start: u64, end: u64) -> Option<&[u8]> {
    let segment = image
        .segments
        .iter()
        .find(|s| start >= s.vaddr.0 && end <= s.vaddr.0 + s.data.len() as u64)?;
    let from = (start - segment.vaddr.0) as usize;
    segment.data.get(from..from + (end - start) as usize)
}
