//! Events for tests: each kind, with and without each optional field, and odd values.

use super::event::{
    Boundary, Delivery, DeliveryId, Direction, Event, EventKind, FrameValues, HeldBy, Invalidation,
    Return, Source, UnblockedBy, Walk, WalkOutcome, WalkStep,
};
use crate::arch::{AccessKind, EventType, Hex, PhysAddr, Vector, VirtAddr};

pub(crate) const NMI1: DeliveryId = DeliveryId {
    serial: 1,
    vector: Vector::NMI,
    nth: 1,
};
pub(crate) const PF1: DeliveryId = DeliveryId {
    serial: 2,
    vector: Vector::PF,
    nth: 1,
};
pub(crate) const NMI2: DeliveryId = DeliveryId {
    serial: u64::MAX,
    vector: Vector::NMI,
    nth: 2,
};
pub(crate) const IRQ1: DeliveryId = DeliveryId {
    serial: 3,
    vector: Vector(0x21),
    nth: 12,
};

pub(crate) const FRAME: FrameValues = FrameValues {
    rip: VirtAddr(0xffff_ffff_8000_1031),
    cs: Hex(0x8),
    rflags: Hex(0x1_0246),
    rsp: VirtAddr(0xffff_ffff_8001_0f00),
    ss: Hex(0x10),
};

/// A delivery of `id`.
pub(crate) fn delivery(id: DeliveryId, kind: EventType) -> Delivery {
    Delivery {
        id,
        kind,
        error_code: None,
        cr2: None,
        dr6: None,
        ist: 1,
        handler: VirtAddr(0xffff_ffff_8000_2000),
        frame: VirtAddr(0xffff_fe00_0000_1fd8),
        pushed: FRAME,
        new_cpl: 0,
    }
}

/// A walk of four levels that ends with `outcome`.
pub(crate) fn walk(outcome: WalkOutcome) -> Walk {
    let step = |level, entry_at, entry, updated: Option<u64>| WalkStep {
        level,
        entry_at: PhysAddr(entry_at),
        entry: Hex(entry),
        updated: updated.map(Hex),
    };
    let last = match outcome {
        WalkOutcome::Mapped { .. } => step(
            1,
            0x4010,
            0x8000_0000_0020_0003,
            Some(0x8000_0000_0020_0063),
        ),
        WalkOutcome::PageFault { .. } => step(1, 0x4010, 0, None),
    };
    Walk {
        address: VirtAddr(0xffff_c900_0000_2008),
        access: AccessKind::Write,
        user: false,
        implicit: false,
        steps: vec![
            step(4, 0x1c90, 0x2063, None),
            step(3, 0x2000, 0x3007, Some(0x3027)),
            step(2, 0x3000, 0x4067, None),
            last,
        ],
        outcome,
    }
}

/// Every kind of event, every variant of every field's type, each optional field both ways.
pub(crate) fn kinds() -> Vec<EventKind> {
    let mut kinds = vec![
        EventKind::NmiMerged,
        EventKind::NmiBlocked,
        EventKind::Halted,
        EventKind::Woken,
    ];
    for source in [
        Source::Schedule,
        Source::Apic,
        Source::Timer,
        Source::Device,
        Source::Host,
    ] {
        kinds.push(EventKind::NmiRaised { source });
        kinds.push(EventKind::IrqRaised {
            vector: Vector(0xef),
            source,
        });
    }
    for held_by in [
        HeldBy::Blocked,
        HeldBy::MovSsShadow,
        HeldBy::StiShadow,
        HeldBy::Priority,
    ] {
        kinds.push(EventKind::NmiLatched { held_by });
    }
    for by in [
        UnblockedBy::NmiReturn,
        UnblockedBy::OtherIret,
        UnblockedBy::FaultingIret,
    ] {
        for in_handler in [None, Some(PF1), Some(NMI1), Some(IRQ1)] {
            for blocked_by in [None, Some(NMI1)] {
                kinds.push(EventKind::NmiUnblocked {
                    by,
                    in_handler,
                    blocked_by,
                });
            }
        }
    }
    for kind in [
        EventType::External,
        EventType::Nmi,
        EventType::Fault,
        EventType::Trap,
        EventType::Abort,
        EventType::SoftwareInterrupt,
        EventType::SoftwareException,
        EventType::PrivilegedSoftwareException,
    ] {
        kinds.push(EventKind::Exception {
            vector: Vector::UD,
            kind,
            error_code: None,
            cr2: None,
        });
        kinds.push(EventKind::Delivered(delivery(IRQ1, kind)));
    }
    kinds.push(EventKind::ExceptionInjected { vector: Vector::GP });
    for error_code in [0, 2, 0x15, u32::MAX] {
        kinds.push(EventKind::Exception {
            vector: Vector::PF,
            kind: EventType::Fault,
            error_code: Some(error_code),
            cr2: Some(VirtAddr(u64::MAX)),
        });
        kinds.push(EventKind::Delivered(Delivery {
            error_code: Some(error_code),
            cr2: Some(VirtAddr(0)),
            ist: 0,
            ..delivery(PF1, EventType::Fault)
        }));
        kinds.push(EventKind::Delivered(Delivery {
            error_code: Some(error_code),
            ist: 7,
            new_cpl: 3,
            ..delivery(
                DeliveryId {
                    vector: Vector::GP,
                    ..PF1
                },
                EventType::Fault,
            )
        }));
        kinds.push(EventKind::Walk(walk(WalkOutcome::PageFault { error_code })));
    }
    kinds.push(EventKind::Delivered(delivery(NMI2, EventType::Nmi)));
    kinds.push(EventKind::Delivered(Delivery {
        dr6: Some(Hex(0xffff_4ff0)),
        ..delivery(
            DeliveryId {
                vector: Vector::DB,
                ..PF1
            },
            EventType::Trap,
        )
    }));
    for then in [None, Some(Vector::PF), Some(Vector::DF)] {
        for address in [None, Some(VirtAddr(0xffff_fe00_0000_0fd8))] {
            for error_code in [None, Some(2)] {
                kinds.push(EventKind::DeliveryFailed {
                    vector: Vector::NMI,
                    raised: Vector::PF,
                    error_code,
                    address,
                    then,
                });
            }
        }
    }
    kinds.push(EventKind::FrameOverwritten {
        frame: NMI1,
        by: NMI2,
    });
    for access in [AccessKind::Read, AccessKind::Write, AccessKind::Fetch] {
        for (user, implicit) in [(false, false), (true, false), (false, true)] {
            for (page_size, large_at) in [(4096, 0), (0x20_0000, 2), (0x4000_0000, 3)] {
                let mut w = Walk {
                    access,
                    user,
                    implicit,
                    ..walk(WalkOutcome::Mapped {
                        phys: PhysAddr(0x000f_ffff_ffff_ffff),
                        page_size,
                    })
                };
                w.steps.retain(|s| s.level >= large_at);
                if let Some(step) = w.steps.last_mut().filter(|_| large_at > 0) {
                    step.entry.0 |= 0x80;
                }
                kinds.push(EventKind::Walk(w));
            }
        }
    }
    let mut five = walk(WalkOutcome::PageFault { error_code: 9 });
    five.steps.insert(
        0,
        WalkStep {
            level: 5,
            entry_at: PhysAddr(0xff8),
            entry: Hex(u64::MAX),
            updated: None,
        },
    );
    kinds.push(EventKind::Walk(five));
    kinds.push(EventKind::Walk(Walk {
        steps: Vec::new(),
        ..walk(WalkOutcome::PageFault { error_code: 0 })
    }));
    for (of, resumes) in [
        (None, None),
        (Some(NMI1), Some(NMI1)),
        (Some(NMI2), None),
        (None, Some(PF1)),
        (Some(NMI2), Some(NMI1)),
    ] {
        kinds.push(EventKind::Iret(Return {
            mnemonic: "iretq".to_owned(),
            frame: VirtAddr(0xffff_fe00_0000_1fd8),
            popped: FRAME,
            of,
            resumes,
            new_cpl: 3,
        }));
    }
    kinds.push(EventKind::Resumed { id: IRQ1 });
    kinds.push(EventKind::Syscall {
        target: VirtAddr(0xffff_ffff_8000_3000),
    });
    kinds.push(EventKind::Sysret {
        target: VirtAddr(0x40_1000),
        new_cpl: 3,
    });
    for register in ["cr0", "cr2", "cr3", "cr4", "cr8", "dr7", "xcr0"] {
        kinds.push(EventKind::ControlWrite {
            register: register.to_owned(),
            old: Hex(0x8000_0011),
            new: Hex(0x8001_0013),
        });
    }
    kinds.push(EventKind::Cr2Read {
        value: VirtAddr(0xffff_c900_0000_2008),
    });
    for direction in [Direction::Read, Direction::Write] {
        for number in [0xc000_0080, 0x1234_5678, 0x830] {
            kinds.push(EventKind::Msr {
                number: Hex(number),
                direction,
                value: Hex(u64::MAX),
            });
        }
        kinds.push(EventKind::Io {
            port: 0x3f8,
            size: 1,
            direction,
            value: Hex(0x41),
        });
        for device in [None, Some("local APIC".to_owned())] {
            kinds.push(EventKind::Mmio {
                address: PhysAddr(0xfee0_00b0),
                size: 4,
                direction,
                value: Hex(0),
                device,
            });
        }
        for value in [None, Some(Hex(0x1122_3344_5566_7788))] {
            kinds.push(EventKind::Mem {
                address: VirtAddr(0xffff_c900_0000_2008),
                size: 8,
                direction,
                value,
            });
        }
    }
    kinds.push(EventKind::Swapgs {
        gs_base: Hex(0xffff_8880_0000_0000),
        kernel_gs_base: Hex(0),
    });
    for invalidation in [
        Invalidation::Invlpg {
            address: VirtAddr(0x1000),
        },
        Invalidation::Invpcid {
            kind: 3,
            pcid: 4095,
            address: VirtAddr(0),
        },
        Invalidation::Cr3 {
            value: Hex(0x8000_0000_0000_1001),
        },
        Invalidation::ControlRegister,
        Invalidation::Capacity,
    ] {
        kinds.push(EventKind::TlbInvalidated(invalidation));
    }
    let all_controls: String = (0..0xa0).filter_map(char::from_u32).collect();
    for text in [
        "hello",
        "",
        "\"quoted\\\" \u{7}\u{1b}[31mred\u{7f} \u{202e}",
        &all_controls,
    ] {
        kinds.push(EventKind::Console {
            device: "serial".to_owned(),
            text: text.to_owned(),
        });
    }
    kinds.push(EventKind::Insn {
        bytes: "488b4508".to_owned(),
        text: "mov 0x8(%rbp),%rax".to_owned(),
    });
    kinds.push(EventKind::Insn {
        bytes: "66666666662e0f1f840000000000".to_owned(),
        text: "data16 nopw %cs:0x0(%rax,%rax,1)".to_owned(),
    });
    kinds.push(EventKind::Stop {
        reason: "debug-exit".to_owned(),
        text: "the guest wrote 0x10 to the debug-exit port".to_owned(),
    });
    kinds
}

/// [`kinds`] as events, at various places.
pub(crate) fn events() -> Vec<Event> {
    kinds()
        .into_iter()
        .zip(0_u64..)
        .map(|(kind, i)| Event {
            at: Boundary {
                icount: match i % 7 {
                    6 => u64::MAX,
                    n => i * 10_u64.pow(n as u32),
                },
                sub: (i % 3) as u32,
            },
            rip: VirtAddr([0xffff_ffff_8000_1031, 0, u64::MAX, 0x40_1000][(i % 4) as usize]),
            cpl: if i % 4 == 3 { 3 } else { 0 },
            depth: (i % 12) as u16,
            kind,
        })
        .collect()
}
