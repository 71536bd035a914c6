//! The rules of IA-32e paging, said a second time: plain sentences of the manual as plain `if`s
//! (SDM vol. 3, 4.5 to 4.8). Nothing here knows how entries are encoded or how the emulator walks.

/// Who makes an access (SDM vol. 3, 4.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// CPL 3.
    User,
    /// CPL below 3.
    Supervisor,
    /// The processor itself, to a GDT, LDT, IDT or TSS, at any CPL.
    Implicit,
}

/// What the access does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Read,
    Write,
    Fetch,
}

/// One paging-structure entry, bit by bit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Entry {
    pub p: bool,
    pub w: bool,
    pub u: bool,
    pub a: bool,
    pub d: bool,
    /// Bit 7: page size; PAT in a PTE.
    pub bit7: bool,
    /// Bit 8: global in an entry that maps a page.
    pub bit8: bool,
    pub xd: bool,
    /// An address bit at or above MAXPHYADDR.
    pub beyond: bool,
    /// An address bit between PAT and the first address bit of a large page.
    pub low: bool,
    /// Bits 62:59.
    pub key: u8,
}

/// The entries that translate one linear address. Those below a page's are not looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entries {
    pub pml5e: Entry,
    pub pml4e: Entry,
    pub pdpte: Entry,
    pub pde: Entry,
    pub pte: Entry,
}

/// Registers and the processor's kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mode {
    pub wp: bool,
    pub smep: bool,
    pub smap: bool,
    pub pke: bool,
    pub pge: bool,
    pub la57: bool,
    pub nxe: bool,
    pub ac: bool,
    pub pkru: u32,
    /// 1-GiB pages exist.
    pub gigabyte_pages: bool,
    /// Bit 8 must be 0 in PML5E and PML4E (AMD).
    pub bit8_must_be_zero: bool,
}

/// Which entry maps the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Page {
    Pte,
    Pde,
    Pdpte,
}

/// What a translation grants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Granted {
    pub page: Page,
    pub user: bool,
    pub writable: bool,
    pub executable: bool,
    pub key: u8,
    pub global: bool,
}

/// The translation, or a #PF with this error code.
pub type Verdict = Result<Granted, u32>;

/// What the walk for one access must come to.
pub fn verdict(mode: &Mode, e: &Entries, who: Who, what: What) -> Verdict {
    let code = of_access(mode, who, what);
    let not_present = Err(code);
    let reserved = Err(code | 0b1001);

    // 4.5.4: PML5E. Table 4-14: bit 7 and the address bits from MAXPHYADDR on are reserved, and
    // bit 63 if IA32_EFER.NXE = 0.
    if mode.la57 {
        if !e.pml5e.p {
            return not_present;
        }
        if e.pml5e.beyond {
            return reserved;
        }
        if e.pml5e.bit7 {
            return reserved;
        }
        if e.pml5e.xd && !mode.nxe {
            return reserved;
        }
        if e.pml5e.bit8 && mode.bit8_must_be_zero {
            return reserved;
        }
    }

    // PML4E, table 4-15.
    if !e.pml4e.p {
        return not_present;
    }
    if e.pml4e.beyond {
        return reserved;
    }
    if e.pml4e.bit7 {
        return reserved;
    }
    if e.pml4e.xd && !mode.nxe {
        return reserved;
    }
    if e.pml4e.bit8 && mode.bit8_must_be_zero {
        return reserved;
    }

    // PDPTE, tables 4-16 and 4-17.
    if !e.pdpte.p {
        return not_present;
    }
    if e.pdpte.beyond {
        return reserved;
    }
    if e.pdpte.xd && !mode.nxe {
        return reserved;
    }
    if e.pdpte.bit7 && !mode.gigabyte_pages {
        return reserved;
    }
    if e.pdpte.bit7 && e.pdpte.low {
        return reserved;
    }
    if e.pdpte.bit7 {
        return of_page(mode, e, Page::Pdpte, who, what);
    }

    // PDE, tables 4-18 and 4-19.
    if !e.pde.p {
        return not_present;
    }
    if e.pde.beyond {
        return reserved;
    }
    if e.pde.xd && !mode.nxe {
        return reserved;
    }
    if e.pde.bit7 && e.pde.low {
        return reserved;
    }
    if e.pde.bit7 {
        return of_page(mode, e, Page::Pde, who, what);
    }

    // PTE, table 4-20: bit 7 is PAT.
    if !e.pte.p {
        return not_present;
    }
    if e.pte.beyond {
        return reserved;
    }
    if e.pte.xd && !mode.nxe {
        return reserved;
    }
    of_page(mode, e, Page::Pte, who, what)
}

/// 4.7: the bits of the error code that tell the access, whatever is wrong with it.
fn of_access(mode: &Mode, who: Who, what: What) -> u32 {
    let mut code = 0;
    if what == What::Write {
        code |= 1 << 1;
    }
    // "U/S = 1: a user-mode access"; implicit ones are the supervisor's even at CPL 3.
    if who == Who::User {
        code |= 1 << 2;
    }
    // "I/D: an instruction fetch, and CR4.SMEP = 1, or IA32_EFER.NXE = 1 with PAE".
    if what == What::Fetch {
        if mode.nxe {
            code |= 1 << 4;
        }
        if mode.smep {
            code |= 1 << 4;
        }
    }
    code
}

/// 4.6: the rights of all entries together.
fn of_page(mode: &Mode, e: &Entries, page: Page, who: Who, what: What) -> Verdict {
    let mut user = e.pml4e.u && e.pdpte.u;
    let mut writable = e.pml4e.w && e.pdpte.w;
    let mut disabled = e.pml4e.xd || e.pdpte.xd;
    if mode.la57 {
        user = user && e.pml5e.u;
        writable = writable && e.pml5e.w;
        disabled = disabled || e.pml5e.xd;
    }
    if page == Page::Pde || page == Page::Pte {
        user = user && e.pde.u;
        writable = writable && e.pde.w;
        disabled = disabled || e.pde.xd;
    }
    if page == Page::Pte {
        user = user && e.pte.u;
        writable = writable && e.pte.w;
        disabled = disabled || e.pte.xd;
    }
    let leaf = match page {
        Page::Pte => e.pte,
        Page::Pde => e.pde,
        Page::Pdpte => e.pdpte,
    };
    let granted = Granted {
        page,
        user,
        writable,
        executable: !disabled,
        key: leaf.key,
        global: leaf.bit8 && mode.pge,
    };
    match denied(mode, &granted, who, what) {
        Some(code) => Err(code),
        None => Ok(granted),
    }
}

/// 4.6.1 and 4.6.2: the error code if a translation with these rights refuses the access.
#[must_use]
pub fn denied(mode: &Mode, page: &Granted, who: Who, what: What) -> Option<u32> {
    let rights = match who {
        Who::User => user_may(page, what),
        Who::Supervisor | Who::Implicit => supervisor_may(mode, page, who, what),
    };
    let key = key_allows(mode, page, who, what);
    if rights && key {
        return None;
    }
    let mut code = of_access(mode, who, what) | 1;
    // "PK: there was a protection-key violation", whatever else is wrong.
    if !key {
        code |= 1 << 5;
    }
    Some(code)
}

/// "For user-mode accesses".
fn user_may(page: &Granted, what: What) -> bool {
    // From or to a supervisor-mode address nothing is allowed.
    if !page.user {
        return false;
    }
    if what == What::Read {
        return true;
    }
    if what == What::Write {
        return page.writable;
    }
    page.executable
}

/// "For supervisor-mode accesses".
fn supervisor_may(mode: &Mode, page: &Granted, who: Who, what: What) -> bool {
    if what == What::Fetch {
        // XD in any entry: never. A user-mode address: only with CR4.SMEP = 0.
        if !page.executable {
            return false;
        }
        if page.user && mode.smep {
            return false;
        }
        return true;
    }
    // Data of a user-mode address with CR4.SMAP = 1: only explicitly, and with RFLAGS.AC = 1.
    if page.user && mode.smap {
        if who == Who::Implicit {
            return false;
        }
        if !mode.ac {
            return false;
        }
    }
    if what == What::Read {
        return true;
    }
    // CR0.WP = 0: writes to any address. CR0.WP = 1: with R/W = 1 in every entry.
    if !mode.wp {
        return true;
    }
    page.writable
}

/// 4.6.2: keys govern data accesses to user-mode addresses.
fn key_allows(mode: &Mode, page: &Granted, who: Who, what: What) -> bool {
    if !mode.pke {
        return true;
    }
    if !page.user {
        return true;
    }
    if what == What::Fetch {
        return true;
    }
    let access_disabled = mode.pkru & (1 << (2 * page.key)) != 0;
    let write_disabled = mode.pkru & (1 << (2 * page.key + 1)) != 0;
    if access_disabled {
        return false;
    }
    if what == What::Write && write_disabled {
        // "Write accesses are not permitted" to the user; to the supervisor if CR0.WP = 1.
        if who == Who::User {
            return false;
        }
        if mode.wp {
            return false;
        }
    }
    true
}

/// 4.8: the entries after the access. A in each entry that was used, D in the one that maps the
/// page, for a write. A walk that faults changes nothing, except with `a_on_fault`: then A in the
/// entries above the one that ended it.
#[must_use]
pub fn afterwards(
    mode: &Mode,
    before: &Entries,
    verdict: Verdict,
    what: What,
    a_on_fault: bool,
) -> Entries {
    let mut after = *before;
    match verdict {
        Ok(granted) => {
            if mode.la57 {
                after.pml5e.a = true;
            }
            after.pml4e.a = true;
            after.pdpte.a = true;
            match granted.page {
                Page::Pdpte => {
                    if what == What::Write {
                        after.pdpte.d = true;
                    }
                }
                Page::Pde => {
                    after.pde.a = true;
                    if what == What::Write {
                        after.pde.d = true;
                    }
                }
                Page::Pte => {
                    after.pde.a = true;
                    after.pte.a = true;
                    if what == What::Write {
                        after.pte.d = true;
                    }
                }
            }
        }
        Err(_) if a_on_fault => {
            let last = ended_at(mode, before);
            if mode.la57 && last < 5 {
                after.pml5e.a = true;
            }
            if last < 4 {
                after.pml4e.a = true;
            }
            if last < 3 {
                after.pdpte.a = true;
            }
            if last < 2 {
                after.pde.a = true;
            }
        }
        Err(_) => {}
    }
    after
}

/// The level of the last entry that a walk which faults reads: 5 for the PML5E, 1 for the PTE.
fn ended_at(mode: &Mode, e: &Entries) -> u8 {
    // An access for which every present page without a reserved bit does: what ends the walk above
    // the page is not present, or reserved.
    let open = Mode {
        wp: false,
        smep: false,
        smap: false,
        pke: false,
        ..*mode
    };
    let refuses = |e: &Entries| verdict(&open, e, Who::Supervisor, What::Read).is_err();
    let good = Entry {
        p: true,
        ..Entry::default()
    };
    let mut probe = Entries {
        pml5e: e.pml5e,
        pml4e: good,
        pdpte: good,
        pde: good,
        pte: good,
    };
    if mode.la57 && refuses(&probe) {
        return 5;
    }
    probe.pml4e = e.pml4e;
    if refuses(&probe) {
        return 4;
    }
    probe.pdpte = e.pdpte;
    if refuses(&probe) || e.pdpte.bit7 {
        return 3;
    }
    probe.pde = e.pde;
    if refuses(&probe) || e.pde.bit7 {
        return 2;
    }
    1
}
