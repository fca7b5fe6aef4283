// Tells the board's kernel what a time service (NTP) tells it once it has the time: that its clock is synchronised. The
// board has no network to ask for the time, and nothing but this mark of the kernel is what meter-pi looks at.
#include <sys/timex.h>

#include <cstdio>
#include <cstdlib>

int main()
{
    timex state{};
    state.modes = ADJ_STATUS | ADJ_MAXERROR | ADJ_ESTERROR; // no flag set, no error
    if (adjtimex(&state) != -1)
        return EXIT_SUCCESS;
    std::perror("synchronise");
    return EXIT_FAILURE;
}
