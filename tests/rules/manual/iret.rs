//! IRET in IA-32e mode: SDM vol. 2, IRET/IRETD/IRETQ, "Operation"; SDM vol. 3, 6.7.1. The manual
//! leaves the order of most checks open: this is that of the emulator's documentation.

use iretrace::arch::Segment;

use super::memory::By;
use super::model::{GP, Model, NP, Raised, SS, hidden};

const AC: u8 = 17;

/// What a completed IRET was like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Returned {
    pub old_cpl: u8,
    pub new_cpl: u8,
    pub from_64: bool,
    pub to_64: bool,
    pub null_ss: bool,
    pub unblocked: bool,
}

/// Executes IRET with operands of `size` bytes.
pub fn iret(m: &mut Model, size: u64) -> Result<Returned, Raised> {
    let blocked = m.nmi_blocked;
    if m.iret_fault_unblocks {
        m.nmi_blocked = false;
    }
    let r = m.regs.clone();
    let cpl = r.cpl;
    // 1: NT.
    if r.rflags >> 14 & 1 == 1 {
        return Err(Raised::new(GP, 0, "1 NT"));
    }
    let from_64 = r.seg[1].attr >> 21 & 1 == 1;

    // 2: three pops.
    let rip = pop(m, 0, size).map_err(|e| e.at(first(e.vector)))?;
    let cs_slot = pop(m, 1, size).map_err(|e| e.at("2 later pop"))?;
    let flags = pop(m, 2, size).map_err(|e| e.at("2 later pop"))?;

    // 3, 4, 5: CS.
    let selector = cs_slot as u16;
    let new_cpl = (selector & 3) as u8;
    if selector & 0xfffc == 0 {
        return Err(Raised::new(GP, 0, "3 CS null"));
    }
    let cs_code = u32::from(selector & 0xfffc);
    let found = m
        .descriptor(selector)
        .map_err(|e| e.at("4 CS descriptor #PF"))?;
    let Some(cs) = found else {
        return Err(Raised::new(GP, cs_code, "4 CS limit"));
    };
    if !cs.code {
        return Err(Raised::new(GP, cs_code, "4 CS not code"));
    }
    if new_cpl < cpl {
        return Err(Raised::new(GP, cs_code, "4 CS RPL < CPL"));
    }
    if cs.conforming && cs.dpl > new_cpl {
        return Err(Raised::new(GP, cs_code, "4 CS conforming DPL"));
    }
    if !cs.conforming && cs.dpl != new_cpl {
        return Err(Raised::new(GP, cs_code, "4 CS DPL"));
    }
    if cs.l && cs.d {
        return Err(Raised::new(GP, cs_code, "4 CS L = D = 1"));
    }
    if !cs.p {
        return Err(Raised::new(NP, cs_code, "5 CS P"));
    }

    // 6 to 9: RSP and SS.
    let outer = from_64 || new_cpl > cpl;
    let mut rsp = 0;
    let mut ss_selector = 0;
    let mut ss = None;
    if outer {
        rsp = pop(m, 3, size).map_err(|e| e.at("6 pop of RSP"))?;
        ss_selector = pop(m, 4, size).map_err(|e| e.at("6 pop of SS"))? as u16;
        let ss_rpl = (ss_selector & 3) as u8;
        if ss_selector & 0xfffc == 0 {
            if !cs.l {
                return Err(Raised::new(GP, 0, "7 SS null, not to 64-bit mode"));
            }
            if new_cpl == 3 {
                return Err(Raised::new(GP, 0, "7 SS null, to CPL 3"));
            }
            if ss_rpl != new_cpl {
                return Err(Raised::new(GP, 0, "7 SS null, RPL"));
            }
        } else {
            let ss_code = u32::from(ss_selector & 0xfffc);
            let found = m
                .descriptor(ss_selector)
                .map_err(|e| e.at("8 SS descriptor #PF"))?;
            let Some(d) = found else {
                return Err(Raised::new(GP, ss_code, "8 SS limit"));
            };
            if ss_rpl != new_cpl {
                return Err(Raised::new(GP, ss_code, "8 SS RPL"));
            }
            if !d.writable {
                return Err(Raised::new(GP, ss_code, "8 SS not writable data"));
            }
            if d.dpl != new_cpl {
                return Err(Raised::new(GP, ss_code, "8 SS DPL"));
            }
            if !d.p {
                return Err(Raised::new(SS, ss_code, "9 SS P"));
            }
            ss = Some(d);
        }
    }

    // 10: RIP.
    let new_rip = if cs.l { rip } else { rip & 0xffff_ffff };
    if cs.l && !m.canonical(new_rip) {
        return Err(Raised::new(GP, 0, "10 RIP not canonical"));
    }
    if !cs.l && new_rip > cs.limit {
        return Err(Raised::new(GP, 0, "10 EIP beyond limit"));
    }

    // The loads set A.
    let cs = m.mark_accessed(cs).map_err(|e| e.at("12 A of CS #PF"))?;
    let ss = match ss {
        // The same descriptor cannot be code and data.
        Some(d) => Some(m.mark_accessed(d).map_err(|e| e.at("12 A of SS #PF"))?),
        None => None,
    };

    // 12: everything at once.
    m.nmi_blocked = false;
    let mut loaded = 0x4dd5; // CF PF AF ZF SF TF DF OF NT
    if size >= 4 {
        loaded |= 1 << 16 | 1 << 18 | 1 << 21; // RF AC ID
    }
    if u64::from(cpl) <= (r.rflags >> 12 & 3) {
        loaded |= 1 << 9; // IF
    }
    if cpl == 0 {
        loaded |= 3 << 12; // IOPL
        if size >= 4 {
            loaded |= 3 << 19; // VIF VIP
        }
    }
    let new = &mut m.regs;
    new.rflags = r.rflags & !loaded & !(1 << 16) | flags & loaded | 2;
    new.rip = new_rip;
    new.cpl = new_cpl;
    new.seg[1] = hidden(cs.raw, selector);
    if outer {
        new.seg[2] = match ss {
            Some(d) => hidden(d.raw, ss_selector),
            None => Segment {
                selector: ss_selector,
                base: 0,
                limit: 0,
                attr: 0,
            },
        };
    }
    let after = if outer {
        rsp
    } else {
        r.gpr[4].wrapping_add(3 * size)
    };
    // The width of the stack pointer: 64 bits in 64-bit mode, else by B of the stack segment;
    // SP alone is loaded if that is 0.
    let wide = if outer { cs.l } else { from_64 };
    let big = new.seg[2].attr >> 22 & 1 == 1;
    new.gpr[4] = if wide {
        after
    } else if big {
        after & 0xffff_ffff
    } else {
        r.gpr[4] & !0xffff | after & 0xffff
    };

    // 13: what the outer level may not keep. ES, FS, GS, DS.
    if new_cpl > cpl {
        for i in [0, 4, 5, 3] {
            let s = &mut new.seg[i];
            let null = s.selector & 0xfffc == 0;
            let data_or_nonconforming = s.attr >> 11 & 1 == 0 || s.attr >> 10 & 1 == 0;
            let dpl = (s.attr >> 13 & 3) as u8;
            if null || (data_or_nonconforming && dpl < new_cpl) {
                *s = Segment {
                    selector: 0,
                    base: s.base,
                    limit: 0,
                    attr: 0,
                };
            }
        }
    }
    Ok(Returned {
        old_cpl: cpl,
        new_cpl,
        from_64,
        to_64: cs.l,
        null_ss: outer && ss.is_none(),
        unblocked: blocked,
    })
}

const fn first(vector: u8) -> &'static str {
    match vector {
        SS => "2 pop not canonical, or beyond the limit",
        AC => "2 pop #AC",
        _ => "2 pop #PF",
    }
}

/// Slot `n` of the frame.
fn pop(m: &mut Model, n: u64, size: u64) -> Result<u64, Raised> {
    let r = &m.regs;
    let cpl = r.cpl;
    let aligned = cpl == 3 && r.cr0 >> 18 & 1 == 1 && r.rflags >> 18 & 1 == 1;
    let ss = r.seg[2];
    let at = r.gpr[4].wrapping_add(n * size);
    let linear = if r.seg[1].attr >> 21 & 1 == 1 {
        if !m.all_canonical(at, size) {
            return Err(Raised::new(SS, 0, ""));
        }
        at
    } else {
        // Compatibility mode: through SS, with its limit (SDM vol. 3, 5.3).
        let top = if ss.attr >> 22 & 1 == 1 {
            0xffff_ffff
        } else {
            0xffff
        };
        let offset = at & top;
        let last = offset + size - 1;
        let limit = u64::from(ss.limit);
        let expand_down = ss.attr >> 10 & 1 == 1;
        let inside = if expand_down {
            offset > limit && last <= top
        } else {
            last <= limit
        };
        if !inside {
            return Err(Raised::new(SS, 0, ""));
        }
        ss.base.wrapping_add(offset) & 0xffff_ffff
    };
    if aligned && linear % size != 0 {
        return Err(Raised::new(AC, 0, ""));
    }
    m.read(linear, size, By::Level(cpl))
}
