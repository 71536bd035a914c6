/* What a page fault means: counted, and mapped by the rest of the kernel. */

unsigned long page_faults;
unsigned long last_address;

void map_page(unsigned long address, int writable);
void kill_task(unsigned long address);

#define PRESENT 1
#define WRITE 2

void handle_page_fault(unsigned long address, unsigned long error_code)
{
    page_faults++;
    last_address = address;
    if (error_code & PRESENT)
        kill_task(address);
    else
        map_page(address & ~0xffful, (error_code & WRITE) != 0);
}
