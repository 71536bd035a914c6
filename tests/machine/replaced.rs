//! A walk whose result takes the place of a stale translation: natively running code must not go on
//! with the old one. A first write through a translation that is not dirty walks the tables in
//! memory (SDM vol. 3, "Accessed and Dirty Flags"), and a page has one translation at a time.

use crate::support::*;

/// `page_a`'s page moves to `page_b`'s frame.
const MOVE: &str = "mov ecx, offset page_a\nshr ecx, 12
    mov edx, offset page_b + 7\nmov [low_pt + rcx * 8], rdx\n";
const FAILED: &str = "failed: mov al, EXIT_FAILURE\njmp debug_exit\n";

/// CPL 3 has read the page through its old translation; after a write at CPL 0, through the new
/// one, it reads what was written.
#[test]
fn a_write_at_another_privilege_level_finds_the_page_moved() {
    let body = "VECTOR_SOFT = 0x28\ngate SOFT, soft_entry, dpl=3
        mov dword ptr [page_b], 0xb\nallow_user page_a\nenter_user";
    let rest = format!(
        ".balign 4096
        user_start: mov eax, [page_a]\ntest eax, eax\njnz .Lwrong
        int 0x28
        mov eax, [page_a]\ncmp eax, 0x10b\njne .Lwrong
        mov ebx, 1\nint 0x28
        .Lwrong: xor ebx, ebx\ndec ebx\nint 0x28
        .balign 4096
        soft_entry: cmp ebx, 1\nja failed\nje passed
        {MOVE}mov eax, [page_a]\ntest eax, eax\njnz failed
        mov byte ptr [page_a + 1], 1
        iretq
        passed: mov al, EXIT_SUCCESS\njmp debug_exit
        {FAILED}"
    );
    Bench::new(body, &rest).succeed();
}

/// The same for code: after the write what is executed is the new frame's.
#[test]
fn a_write_finds_the_page_of_code_moved() {
    // mov al, N; ret
    let body = format!(
        "mov dword ptr [page_a], 0xc30ab0\nmov dword ptr [page_b], 0xc30bb0
        pte page_a, \"PRESENT + WRITE\"\ninvlpg [page_a]
        mov ebx, offset page_a\ncall rbx\ncmp al, 0xa\njne failed
        {MOVE}call rbx\ncmp al, 0xa\njne failed
        mov byte ptr [page_a + 8], 1
        call rbx\ncmp al, 0xb\njne failed"
    );
    let b = Bench::new(&body, FAILED).succeed();
    assert_eq!((b.quad("page_a+8"), b.quad("page_b+8")), (0, 1));
}

/// A 2 MiB page becomes 4 KiB pages, and the first write to one of them finds that: the others are
/// no longer cached either, and a read of theirs goes by the tables in memory.
#[test]
fn a_large_page_that_became_small_ones() {
    let body = "mov dword ptr [page_a], 0xa\nmov dword ptr [page_b], 0xb
        mov qword ptr [low_pd + 16], HUGE + WRITE + PRESENT
        mov ebx, 0x400000\nadd ebx, offset page_a
        mov eax, [rbx]\ncmp eax, 0xa\njne failed
        mov eax, [rbx + 0x1000]\ncmp eax, 0xb\njne failed
        mov edx, offset page_a\nshr edx, 12
        mov ecx, offset page_a + PRESENT + WRITE
        mov [small_pt + rdx * 8], rcx\nmov [small_pt + rdx * 8 + 8], rcx
        mov qword ptr [low_pd + 16], offset small_pt + TABLE
        mov eax, [rbx + 0x1000]\ncmp eax, 0xb\njne failed
        mov byte ptr [rbx], 0xc
        mov eax, [rbx + 0x1000]\ncmp eax, 0xc\njne failed";
    let rest = format!("{FAILED}.section .bss\n.balign 4096\nsmall_pt: .skip 4096\n.text");
    Bench::new(body, &rest).succeed();
}
