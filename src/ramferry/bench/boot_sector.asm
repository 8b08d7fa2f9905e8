; The guest of demo, bench and interop tests: one boot sector that dirties memory at a given rate
; and leaves proof of it. guest.py holds its bytes, fills in the parameters at its end and verifies
; the memory it leaves. Assemble: nasm -f bin -o boot_sector.bin boot_sector.asm
;
; The guest numbers its page writes 0, 1, 2, … over all passes. Write n puts generation
; g = n / pages + 1 into page p = first + n % pages, word by word upwards, and counts n up only when
; the page is complete. So at any moment the pages before n % pages hold g, the pages behind it hold
; g - 1, and the page at it holds words of g up to some point and words of g - 1 from there on.
;
; A page is 1024 words of 32 bits:
;   word 0                      g
;   word 1                      p, the page's number in guest-physical memory
;   next 256 + p % 256 words    x = x * LCG_A + LCG_C, from x = p * SEED_P + g * SEED_G
;   the rest                    p + g
; that is, a quarter to a half of it noise and the rest a constant: it compresses 2.6 to 1.
;
; Why invlpg: the TCG of QEMU 7.2 does not see writes that go through a TLB entry which was in use
; when the migration last read the dirty bitmap. A page that is written again and again keeps its
; entry, and arrives stale, whoever carries it. So the guest drops the entry before it writes, and
; writes to each page once more when it is done, in case the bitmap was read meanwhile.

        bits 16
        org 0x7c00

STATE           equ 0x9000          ; one page that tells the host how far the guest is
STACK           equ STATE + 0x1000  ; its end takes the frames of the ticks, nothing else
STATE_MAGIC     equ 0               ; MAGIC, once everything else in this page holds
STATE_BEATS     equ 4               ; timer ticks: grows as long as the guest runs
STATE_WRITTEN   equ 8               ; n: pages completely written, over all passes
STATE_CREDIT    equ 12              ; page writes that are due, in 1/256

MAGIC           equ 0x59524652      ; "RFRY" in memory
LCG_A           equ 1664525
LCG_C           equ 1013904223
SEED_P          equ 2654435761
SEED_G          equ 2246822519

CODE            equ 8               ; selectors of the descriptors below
DATA            equ 16

boot:
        cli
        xor ax, ax
        mov ds, ax
        in al, 0x92                 ; A20 on, should the BIOS have left it off
        or al, 2
        out 0x92, al
        lgdt [gdt_pointer]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp CODE:protected

        bits 32
protected:
        mov ax, DATA
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov esp, STACK
        cld

        mov al, 0x11                ; interrupt controller: IRQ 0 becomes vector 0x20,
        out 0x20, al
        mov al, 0x20
        out 0x21, al
        mov al, 4
        out 0x21, al
        mov al, 1
        out 0x21, al
        mov al, 0xfe                ; all others are masked
        out 0x21, al
        mov al, 0xff
        out 0xa1, al

        mov al, 0x34                ; timer 0: a tick each [divisor] periods of 1193182 Hz
        out 0x43, al
        mov eax, [divisor]
        out 0x40, al
        mov al, ah
        out 0x40, al
        lidt [idt_pointer]

        mov ebp, STATE              ; ebp stays: the tick uses it, too
        mov edi, ebp
        mov ecx, 1024
        xor eax, eax
        rep stosd
        mov dword [ebp + STATE_MAGIC], MAGIC
        xor esi, esi                ; esi: generation

pass:
        inc esi
        mov edi, [first]            ; edi: where the next word goes
page:
        cmp edi, [end]
        jae pass
due:                                ; here ticks are let in, and nowhere else
        sti
        nop                         ; (sti works one instruction late)
        cli
        cmp dword [ebp + STATE_CREDIT], 256
        jae write
        sti                         ; again late: no tick gets between this and hlt
        hlt
write:
        invlpg [ebp]
        sub dword [ebp + STATE_CREDIT], 256
        invlpg [edi]
        mov eax, esi
        stosd
        mov eax, edi
        shr eax, 12
        stosd
        lea edx, [eax + esi]        ; edx: the constant
        movzx ecx, al
        add ecx, 256                ; ecx: words of noise
        imul eax, eax, SEED_P
        imul ebx, esi, SEED_G
        add eax, ebx                ; eax: x
        mov ebx, 1022
        sub ebx, ecx                ; ebx: words behind the noise
noise:
        imul eax, eax, LCG_A
        add eax, LCG_C
        stosd
        loop noise
        mov ecx, ebx
        mov eax, edx
        rep stosd
        invlpg [edi - 0x1000]
        mov [edi - 0x1000], esi
        invlpg [ebp]
        inc dword [ebp + STATE_WRITTEN]
        jmp page

tick:                               ; goes on at `due` itself: some hosts cannot run iret here
        mov esp, STACK
        invlpg [ebp]
        inc dword [ebp + STATE_BEATS]
        mov eax, [ebp + STATE_CREDIT]
        add eax, [rate]
        cmp eax, [burst]
        jbe credit
        mov eax, [burst]
credit:
        mov [ebp + STATE_CREDIT], eax
        mov al, 0x20
        out 0x20, al
        jmp due

        align 8
gdt:
        dq 0
        dq 0x00cf9b000000ffff       ; code: base 0, limit 4 GiB, 32-bit; accessed already,
        dq 0x00cf93000000ffff       ; data: the same; or the processor would write here
gdt_pointer:
        dw $ - gdt - 1
        dd gdt

idt_entry:                          ; vector 0x20, the only one that can occur
        dw tick - $$ + 0x7c00
        dw CODE
        dw 0x8e00
        dw 0
idt_pointer:
        dw 0x20 * 8 + 7
        dd idt_entry - 0x20 * 8

        times 490 - ($ - $$) db 0
first:  dd 0                        ; parameters, set by guest.py: address of the first page,
end:    dd 0                        ; end of the last,
rate:   dd 0                        ; credit a tick brings, in 1/256 pages,
burst:  dd 0                        ; most credit that gathers while the guest cannot keep up,
divisor: dd 0                       ; timer periods in a tick
        dw 0xaa55
