/* The program: a table of subcommands. The only file that prints errors and exits. */
#include <stdio.h>

int main(void)
{
    fputs("depthkv: no subcommand\n", stderr);
    return 2;
}
