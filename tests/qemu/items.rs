//! What a slot of a case may hold: one way to fault, or not to.

use crate::random::Random;

/// Where a slot is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// CPL 0.
    Kernel,
    /// CPL 3.
    User,
    /// A handler's body, on the handler's stack: it must leave RSP alone.
    Body,
}

/// Where the test pages are, and how many may be anything.
pub const TEST: u64 = 0x40_0000;
pub const ANY_PAGES: u64 = 13;

/// The test page that is CPL 3's stack; the one after it is a hole.
pub const USER_STACK_PAGE: u64 = 14;
pub const USER_STACK_TOP: u64 = TEST + (USER_STACK_PAGE + 1) * 4096;

/// A page of the kernel's, below the image.
const SUPERVISOR_PAGE: u64 = 0x9_e000;

const NON_CANONICAL: u64 = 0x0000_8000_0000_0000;

type Item = fn(&mut Random, Place) -> String;

/// How often, at which places (kernel, user, body), and what.
const ITEMS: &[(u64, [bool; 3], Item)] = &[
    (14, [true, true, true], load),
    (14, [true, true, true], store),
    (12, [true, true, true], read_modify_write),
    (10, [true, true, false], stack),
    (10, [true, true, true], string),
    (6, [true, true, true], arithmetic_fault),
    (6, [true, true, true], undefined),
    (8, [true, true, true], general_protection),
    (7, [true, true, true], software_interrupt),
    (5, [true, true, false], jump),
    (5, [true, true, true], segment),
    (5, [true, true, false], flags),
    (3, [true, false, true], nmi),
    (5, [true, false, true], mapping),
    (9, [true, false, false], return_to_user),
    (6, [true, true, false], bad_return),
    (3, [true, true, false], return_to_self),
    (4, [false, true, false], syscall),
    (3, [false, true, false], back),
    (3, [true, false, false], sysret),
    (3, [true, true, false], shadow),
    (3, [true, false, true], control),
    (2, [true, true, true], accumulate),
];

/// The text of one slot's item.
pub fn item(r: &mut Random, place: Place) -> String {
    let fits = |at: &[bool; 3]| at[place as usize];
    let total = ITEMS.iter().filter(|i| fits(&i.1)).map(|i| i.0).sum();
    let mut n = r.below(total);
    for (weight, at, make) in ITEMS {
        if fits(at) {
            if n < *weight {
                return make(r, place);
            }
            n -= weight;
        }
    }
    unreachable!("n is below the sum of the weights")
}

/// An address: mostly in the test pages, often near a page's end.
pub fn address(r: &mut Random) -> u64 {
    match r.below(40) {
        0 => NON_CANONICAL,
        1 => 0,
        2 => 0x60_0000,
        3 => SUPERVISOR_PAGE + 0x800,
        4 => !0 << 47,
        _ => {
            let page = TEST + r.below(ANY_PAGES) * 4096;
            let offset = match r.below(6) {
                0 => 0,
                1 => 4096 - r.below(9),
                2 => 4096 - r.below(17),
                _ => r.below(4096) & !7,
            };
            page + offset
        }
    }
}

/// As [`address`], but only in the test pages: for what must not read the kernel's own memory,
/// which differs between the sides.
fn test_address(r: &mut Random) -> u64 {
    loop {
        let at = address(r);
        if (TEST..TEST + 16 * 4096).contains(&at) {
            return at;
        }
    }
}

/// `mov rdi, ADDRESS`.
fn point(r: &mut Random, register: &str) -> String {
    let at = address(r);
    format!("movabs {register}, {at:#x}\n")
}

fn load(r: &mut Random, _: Place) -> String {
    let load = r.pick(&[
        "mov al, [rdi]",
        "mov ax, [rdi]",
        "mov eax, [rdi]",
        "mov rax, [rdi]",
        "movzx ebx, byte ptr [rdi]",
        "movsx rbx, word ptr [rdi]",
        "movups xmm0, [rdi]",
        "cmp rax, [rdi]",
        "cmp byte ptr [rdi], 5",
        "test dword ptr [rdi], 1",
        "imul ecx, [rdi]",
        "bt dword ptr [rdi], 3",
        "bt qword ptr [rdi], rcx",
        "cmove rbx, [rdi]",
        "mov rbx, [rdi+rcx*8]",
    ]);
    point(r, "rdi") + load
}

fn store(r: &mut Random, _: Place) -> String {
    let store = r.pick(&[
        "mov [rdi], al",
        "mov [rdi], ax",
        "mov [rdi], eax",
        "mov [rdi], rax",
        "movups [rdi], xmm0",
        "sete byte ptr [rdi]",
        "mov dword ptr [rdi], 0x12345678",
        "movnti [rdi], rax",
        "fnstcw [rdi]",
        "stmxcsr [rdi]",
    ]);
    point(r, "rdi") + store
}

fn read_modify_write(r: &mut Random, _: Place) -> String {
    let rmw = r.pick(&[
        "add [rdi], eax",
        "lock add [rdi], rax",
        "xchg [rdi], rbx",
        "inc byte ptr [rdi]",
        "neg word ptr [rdi]",
        "not dword ptr [rdi]",
        "lock xadd [rdi], rcx",
        "cmpxchg [rdi], rbx",
        "lock cmpxchg [rdi], ebx",
        "bts dword ptr [rdi], 4",
        "lock btr qword ptr [rdi], 7",
        "and byte ptr [rdi], 0xf0",
        "or  qword ptr [rdi], 1",
        "sub [rdi], dx",
        "rol dword ptr [rdi], 1",
        "cmpxchg8b [rdi]",
        "lock dec qword ptr [rdi]",
    ]);
    point(r, "rdi") + rmw
}

/// Uses a stack anywhere. If nothing faults, a good one is back at the end.
fn stack(r: &mut Random, place: Place) -> String {
    let aligned = r.chance(70);
    let mut at = address(r);
    if aligned {
        at &= !7;
    }
    let use_it = r.pick(&[
        "push rax",
        "push 5",
        "pushfq",
        "pop rcx",
        "pop qword ptr [rsi]",
        "push qword ptr [rsi]",
        "pop [rsp]",
        "call 5f\n5:",
        "enter 16, 0",
        "push rax\npop rbx",
        "push ax",
        "pop cx",
        "ret",
        "popfq",
    ]);
    let other = point(r, "rsi");
    let other = if use_it.contains("rsi") {
        other
    } else {
        String::new()
    };
    let good = good_stack(place);
    let after = if r.chance(85) { good.as_str() } else { "" };
    format!("{RESUME}{other}movabs rsp, {at:#x}\n{use_it}\n6:\n{after}")
}

/// r9: where to go on when RIP is in no slot: here, the next one.
const RESUME: &str = "lea r9, [rip + 99f]\n";

fn good_stack(place: Place) -> String {
    match place {
        Place::User => format!("mov rsp, {USER_STACK_TOP:#x}"),
        _ => "mov rsp, offset kernel_stack_top".to_owned(),
    }
}

fn string(r: &mut Random, _: Place) -> String {
    let op = r.pick(&[
        "movsb", "movsw", "movsd", "movsq", "stosb", "stosd", "stosq", "lodsb", "lodsq", "scasb",
        "scasd", "cmpsb", "cmpsq",
    ]);
    let (prefix, count) = match (r.below(4), op.starts_with("scas") || op.starts_with("cmps")) {
        (0, _) => ("", 1),
        (1, true) => ("repne ", r.below(12)),
        (_, _) => ("rep ", r.below(12)),
    };
    let direction = if r.chance(30) { "std" } else { "cld" };
    let source = point(r, "rsi");
    let target = point(r, "rdi");
    format!("{source}{target}mov ecx, {count}\n{direction}\n{prefix}{op}\ncld")
}

fn arithmetic_fault(r: &mut Random, _: Place) -> String {
    let divisor = r.pick(&[0u64, 0, 1, 3, 1 << 63]);
    let high = r.pick(&[0u64, 1, !0]);
    let op = r.pick(&["div ebx", "div rbx", "idiv rbx", "div bl", "idiv bx"]);
    format!("movabs rbx, {divisor:#x}\nmovabs rdx, {high:#x}\nmov eax, 7\n{op}\ntest eax, eax")
}

fn undefined(r: &mut Random, _: Place) -> String {
    r.pick(&[
        "ud2",
        ".byte 0x06",
        ".byte 0x0f, 0xff, 0xc0",
        ".byte 0x0f, 0xb9, 0xc0",
        ".byte 0xce",
        ".byte 0xd6, 0x90",
        ".byte 0x8e, 0xc8",
        ".byte 0xf0, 0x90",
        ".byte 0xf0, 0x01, 0xc0",
        ".byte 0xea, 0, 0, 0, 0, 0, 0",
        ".byte 0x0f, 0x20, 0xc8",
        ".byte 0x8d, 0xc0",
        ".byte 0x27",
        ".byte 0x0f, 0x0a",
    ])
    .to_owned()
}

fn general_protection(r: &mut Random, place: Place) -> String {
    let mut choices = vec![
        "movabs rdi, 0x800000000000\nmov rax, [rdi]",
        "movabs rdi, 0x7ffffffffffc\nadd [rdi], rax",
        "movabs rbp, 0x800000000000\nmov rax, [rbp]",
        "mov eax, 0x80000000\nshl rax, 5\nmov dr7, rax",
        "mov eax, 0x123\nlldt ax",
        "mov eax, 0x20\nltr ax",
        "mov eax, 0x30\nltr ax",
        "xor ecx, ecx\nmov eax, 2\nxor edx, edx\nxsetbv",
        "mov ecx, 1\nwrpkru",
    ];
    if place == Place::User {
        choices.extend([
            "hlt",
            "cli",
            "sti",
            "invlpg [rdi]",
            "mov rax, cr0",
            "mov rax, dr7",
            "wbinvd",
            "clts",
            "in al, 0xe0",
            "out 0x80, al",
            "mov edx, 0xe0
rep insb",
            "swapgs",
            "lidt [rsi]",
            "lgdt [rsi]",
            "rdmsr",
            "wrmsr",
            "stac",
            "clac",
            "sysretq",
            "lmsw ax",
            "mov cr8, rax",
            "ltr ax",
        ]);
    }
    r.pick(&choices).to_owned()
}

fn software_interrupt(r: &mut Random, _: Place) -> String {
    match r.below(10) {
        0..3 => "int3".to_owned(),
        3 => ".byte 0xcd, 3".to_owned(),
        4 => ".byte 0xf1".to_owned(),
        5 => format!("int {:#x}", r.below(0x20)),
        6 => format!("int {:#x}", r.pick(&[0x44u8, 0x50, 0x80, 0xff])),
        _ => format!("int {:#x}", 0x20 + r.below(0x10)),
    }
}

/// Leaves the slots, and comes back through r9.
fn jump(r: &mut Random, _: Place) -> String {
    let at = address(r);
    let how = match r.below(4) {
        0 => "jmp rdi".to_owned(),
        1 => "call rdi".to_owned(),
        2 => "push rdi\nret".to_owned(),
        _ => format!("movabs rsi, {:#x}\njmp [rsi]", test_address(r)),
    };
    format!("{RESUME}movabs rdi, {at:#x}\n{how}")
}

const SELECTORS: [u16; 18] = [
    0, 1, 3, 0x08, 0x0b, 0x10, 0x13, 0x1b, 0x20, 0x23, 0x2b, 0x30, 0x40, 0x48, 0x53, 0x6b, 0x80,
    0x84,
];

fn segment(r: &mut Random, place: Place) -> String {
    let selector = r.pick(&SELECTORS);
    let what = match r.below(8) {
        0 => "mov ds, eax",
        1 => "mov es, eax",
        2 => "mov fs, eax",
        3 => "lar ecx, eax",
        4 => "lsl ecx, eax",
        5 => "verr ax",
        6 => "verw ax",
        _ if place == Place::Body => "mov ds, eax",
        _ => "mov ss, eax",
    };
    format!("mov eax, {selector:#x}\n{what}\nmov ecx, 0\nnop")
}

fn flags(r: &mut Random, _: Place) -> String {
    let mut flags = 2 | r.next() & 0x0004_0cd5;
    if r.chance(25) {
        flags |= 0x100;
    }
    if r.chance(10) {
        flags |= 0x4000;
    }
    if r.chance(10) {
        flags |= r.next() & 0x3200;
    }
    if r.chance(5) {
        flags |= 1 << 16;
    }
    let after = if r.chance(40) { "\npush 2\npopfq" } else { "" };
    format!("push {flags:#x}\npopfq\nnop\nmov ecx, ecx{after}")
}

fn nmi(_: &mut Random, _: Place) -> String {
    "mov edi, APIC + 0x300\nmov dword ptr [rdi], 0x4400\nnop\nmov ecx, 4\nmov edx, 5".to_owned()
}

/// Changes a page-table entry, and invalidates it. (A and D, which may differ, show in the flags.)
fn mapping(r: &mut Random, _: Place) -> String {
    let page = r.below(ANY_PAGES);
    let entry = match r.below(5) {
        0 => "and qword ptr [rdi], ~1".to_owned(),
        1 => "or qword ptr [rdi], 1".to_owned(),
        2 => format!("xor qword ptr [rdi], {:#x}", r.pick(&[2, 4, 6])),
        3 => "btc qword ptr [rdi], 63".to_owned(),
        _ => "and qword ptr [rdi], ~0x60".to_owned(),
    };
    let at = TEST + page * 4096;
    format!(
        "mov edi, offset test_pt + {}\n{entry}\ninvlpg [{at:#x}]\ntest edi, edi",
        page * 8
    )
}

/// RFLAGS for an IRET.
fn image_flags(r: &mut Random) -> u64 {
    let mut flags = 2 | r.next() & 0x0004_0cd5;
    if r.chance(8) {
        flags |= 0x100;
    }
    if r.chance(5) {
        flags |= r.next() & 0x3200;
    }
    flags
}

fn return_to_user(r: &mut Random, _: Place) -> String {
    let flags = image_flags(r);
    format!(
        "{RESUME}mov rsp, offset kernel_stack_top\npush USER_DS\npush {USER_STACK_TOP:#x}\n\
         push {flags:#x}\npush USER_CS\nlea rax, [rip + .Luser]\npush rax\nmov eax, 9\niretq"
    )
}

/// An IRET with one thing wrong, or with a stack that may be.
fn bad_return(r: &mut Random, place: Place) -> String {
    let user = place == Place::User || r.chance(50);
    let (mut cs, mut ss) = if user { (0x2b, 0x23) } else { (0x08, 0x10) };
    let mut flags = image_flags(r);
    let mut rip = "lea rax, [rip + 99f]".to_owned();
    let mut prepare = String::new();
    let mut operation = "iretq";
    match r.below(8) {
        0 | 1 => {
            cs = r.pick(&[
                0, 3, 0x0b, 0x10, 0x23, 0x28, 0x30, 0x40, 0x60, 0x73, 0x58, 0x80, 0xfc,
            ])
        }
        2 | 3 => {
            ss = r.pick(&[
                0, 3, 0x08, 0x0b, 0x13, 0x20, 0x2b, 0x48, 0x53, 0x6b, 0x80, 0x84,
            ])
        }
        4 => {
            rip = format!(
                "movabs rax, {:#x}",
                r.pick(&[NON_CANONICAL, !0 << 46, 1 << 63])
            )
        }
        5 => prepare = "pushfq\nor dword ptr [rsp], 0x4000\npopfq\n".to_owned(),
        6 => {
            let at = address(r);
            return format!("{RESUME}movabs rsp, {at:#x}\niretq");
        }
        _ => {
            flags |= r.pick(&[1u64 << 17, 1 << 16, 1 << 14, 0x3000]);
            operation = r.pick(&["iretq", "iretq", "iretd"]);
        }
    }
    let stack = good_stack(place);
    format!(
        "{RESUME}{stack}\nmov rcx, rsp\n{rip}\nsub rsp, 24\npush {ss:#x}\npush rcx\n\
         push {flags:#x}\npush {cs:#x}\npush rax\n{prepare}{operation}"
    )
}

/// An IRET to the next slot: what unblocks NMIs and loads flags.
fn return_to_self(r: &mut Random, place: Place) -> String {
    let flags = image_flags(r);
    let (cs, ss) = match place {
        Place::User => (0x2b, 0x23),
        _ => (0x08, r.pick(&[0x10, 0])),
    };
    let stack = good_stack(place);
    format!(
        "{stack}\nmov rcx, rsp\nlea rax, [rip + 5f]\npush {ss}\npush rcx\npush {flags:#x}\n\
         push {cs}\npush rax\niretq\n5:\nnop"
    )
}

fn syscall(_: &mut Random, _: Place) -> String {
    format!("{RESUME}syscall\nnop")
}

fn back(_: &mut Random, _: Place) -> String {
    "int BACK".to_owned()
}

fn sysret(r: &mut Random, _: Place) -> String {
    let flags = image_flags(r);
    let target = if r.chance(15) {
        format!("movabs rcx, {NON_CANONICAL:#x}")
    } else {
        "lea rcx, [rip + .Luser]".to_owned()
    };
    format!("{RESUME}{target}\nmov r11d, {flags:#x}\nmov rsp, {USER_STACK_TOP:#x}\nsysretq")
}

/// MOV SS and what comes in its shadow.
fn shadow(r: &mut Random, place: Place) -> String {
    let after = r.pick(&[
        "int3",
        "nop",
        "ud2",
        "mov ss, eax",
        "int 0x20",
        "mov rbx, [rdi]",
    ]);
    let ss = if place == Place::User { 0x23 } else { 0x10 };
    format!(
        "{}mov eax, {ss}\nmov ss, eax\n{after}\nnop",
        point(r, "rdi")
    )
}

fn control(r: &mut Random, _: Place) -> String {
    r.pick(&[
        "mov rax, cr0\nbtc rax, 16\nmov cr0, rax",
        "mov rax, cr4\nbtc rax, 20\nmov cr4, rax",
        "mov rax, cr4\nbtc rax, 21\nmov cr4, rax",
        "stac",
        "clac",
        "xor ecx, ecx\nxor edx, edx\nmov eax, 0x50005004\nwrpkru",
        "mov rax, cr3\nmov cr3, rax",
        "mov rax, cr0\nbts rax, 3\nmov cr0, rax\nfld1\nclts",
        "clts\nfninit",
        "sti\nnop",
        "cli",
        "swapgs",
        "mov rax, cr2\nmov rbx, rax",
    ])
    .to_owned()
}

fn accumulate(r: &mut Random, _: Place) -> String {
    format!(
        "mov ecx, {:#x}\nlea rax, [rax + rcx*2]\nadd rbx, rcx",
        r.below(1 << 31)
    )
}
