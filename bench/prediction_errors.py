"""How far predictions of memory are from what was measured: the same figures and promises for all pools."""
import statistics

PROMISED_MEDIAN = 3  # % of what was measured
PROMISED_WORST = 8


def percent(value, of):
    return 100 * (value / of - 1)


def extremes(errors):
    return f"lowest {min(errors):+.1f} %, highest {max(errors):+.1f} %"


def median_of(errors):
    return statistics.median(map(abs, errors))


def keeps_promise(title, errors):
    """Prints how large the errors are beside the promise. Returns whether they keep it."""
    median, worst = median_of(errors), max(map(abs, errors))
    print(f"{title}: median error {median:.1f} % (promised: {PROMISED_MEDIAN}), worst {worst:.1f} % ({PROMISED_WORST}), "
          f"{extremes(errors)}")
    return median <= PROMISED_MEDIAN and worst <= PROMISED_WORST


def print_errors(title, errors):
    """The same where nothing is promised."""
    print(f"{title}: median error {median_of(errors):.1f} %, {extremes(errors)}")
