/* Before ALSA's library (LD_PRELOAD): every capture device does ONLY_RATE Hz and nothing else, as ALSA's hw plugin has it
 * of a card that does no more. No plugin of ALSA's refuses a rate of its own accord, and hw needs a card. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>

static unsigned only(void) { return (unsigned)atoi(getenv("ONLY_RATE")); }

/* ALSA's library comes with PyAudio, when this is loaded long since. */
static void *of_alsa(const char *name) { return dlsym(dlopen("libasound.so.2", RTLD_LAZY), name); }

int snd_pcm_hw_params_set_rate_near(void *pcm, void *params, unsigned *rate, int *direction)
{
    int (*real)(void *, void *, unsigned *, int *) = of_alsa("snd_pcm_hw_params_set_rate_near");
    *rate = only();
    return real(pcm, params, rate, direction);
}

int snd_pcm_hw_params_set_rate(void *pcm, void *params, unsigned rate, int direction)
{
    int (*real)(void *, void *, unsigned, int) = of_alsa("snd_pcm_hw_params_set_rate");
    return rate == only() ? real(pcm, params, rate, direction) : -EINVAL;
}

int snd_pcm_hw_params_test_rate(void *pcm, void *params, unsigned rate, int direction)
{
    (void)pcm, (void)params, (void)direction;
    return rate == only() ? 0 : -EINVAL;
}
