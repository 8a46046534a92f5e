"""Short spoken clips with known speaker, word, sex and accent, made by a source and a filter.

A train of glottal pulses with breath noise passes through four resonators (formants) that move from phoneme to phoneme;
bursts and fricatives are filtered noise. Three tables below define the speakers, the accents and the words.
"""

from __future__ import annotations

import csv
import wave
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sordine.data.files import atomic
from sordine.errors import SordineError
from sordine.keys import numpy_rng
from sordine.run import Run

FRAME_S = 0.005


@dataclass(frozen=True)
class Phoneme:
    """One sound.

    Attributes
    ----------
    formants
        In Hz, for a tract of scale 1.
    seconds
        Duration at tempo 1.
    voice, breath, hiss
        Amplitudes of glottal pulses, of noise at the glottis and of noise at a constriction.
    noise
        Centre and bandwidth of the latter, in Hz.
    vowel
        Whether accents change it.
    """

    formants: tuple[float, float, float]
    seconds: float
    voice: float = 1.0
    breath: float = 0.0
    hiss: float = 0.0
    noise: tuple[float, float] = (1500.0, 1000.0)
    vowel: bool = False


@dataclass(frozen=True)
class Speaker:
    """One speaker.

    Attributes
    ----------
    name, sex, accent
        Labels.
    pitch
        In Hz.
    tract
        Scale of the formants; a short vocal tract raises all.
    tilt
        From 0 (bright) to 1 (dull).
    breath
        Share of noise in the voice.
    tempo
        1 is average, more is faster.
    jitter
        Relative, from cycle to cycle.
    ring
        Frequency of the fourth formant in Hz, the same for all phonemes.
    """

    name: str
    sex: str
    accent: str
    pitch: float
    tract: float
    tilt: float
    breath: float
    tempo: float
    jitter: float
    ring: float


@dataclass(frozen=True)
class Accent:
    """One accent.

    Attributes
    ----------
    shift
        Vowel -> factors of its first and second formant.
    length
        Of vowels, relative.
    """

    shift: dict[str, tuple[float, float]] = field(default_factory=dict)
    length: float = 1.0


def _vowel(f1: float, f2: float, f3: float, seconds: float = 0.11) -> Phoneme:
    return Phoneme((f1, f2, f3), seconds, vowel=True)


_CLOSED = (300.0, 1300.0, 2400.0)
# A stop is up to three phonemes: the closure, its burst and, for voiceless ones, a puff of breath.
PHONEMES: dict[str, Phoneme] = {
    "iy": _vowel(290, 2250, 2900),
    "ih": _vowel(410, 1950, 2550, 0.09),
    "eh": _vowel(560, 1800, 2500),
    "aa": _vowel(740, 1150, 2480, 0.12),
    "ao": _vowel(570, 870, 2430, 0.11),
    "ah": _vowel(630, 1220, 2450, 0.10),
    "uh": _vowel(440, 1050, 2300, 0.09),
    "uw": _vowel(320, 920, 2250, 0.12),
    "y": Phoneme((270, 2200, 2900), 0.06, voice=0.7),
    "l": Phoneme((350, 1050, 2650), 0.07, voice=0.6),
    "r": Phoneme((340, 1200, 1600), 0.07, voice=0.7),
    "m": Phoneme((250, 1000, 2200), 0.08, voice=0.35),
    "n": Phoneme((260, 1500, 2450), 0.08, voice=0.35),
    "s": Phoneme((400, 1600, 2600), 0.12, voice=0.0, hiss=0.30, noise=(3500, 900)),
    "z": Phoneme((350, 1600, 2600), 0.10, voice=0.35, hiss=0.18, noise=(3500, 900)),
    "f": Phoneme((400, 1200, 2300), 0.10, voice=0.0, hiss=0.08, noise=(1900, 3000)),
    "stop": Phoneme(_CLOSED, 0.055, voice=0.0),
    "voiced stop": Phoneme(_CLOSED, 0.045, voice=0.12),
    "p burst": Phoneme((350, 1000, 2200), 0.012, voice=0.0, hiss=0.30, noise=(800, 800)),
    "t burst": Phoneme((350, 1750, 2600), 0.018, voice=0.0, hiss=0.40, noise=(3200, 1200)),
    "k burst": Phoneme((350, 1900, 2300), 0.022, voice=0.0, hiss=0.40, noise=(1800, 600)),
    "d burst": Phoneme((330, 1750, 2600), 0.012, voice=0.2, hiss=0.25, noise=(3000, 1200)),
    "g burst": Phoneme((330, 1900, 2300), 0.016, voice=0.2, hiss=0.25, noise=(1600, 600)),
    "puff": Phoneme((500, 1500, 2500), 0.035, voice=0.0, breath=0.5),
}

WORDS: dict[str, tuple[str, ...]] = {
    "yes": ("y", "eh", "s"),
    "no": ("n", "ao", "uw"),
    "up": ("ah", "stop", "p burst"),
    "down": ("voiced stop", "d burst", "aa", "uh", "n"),
    "left": ("l", "eh", "f", "stop", "t burst"),
    "right": ("r", "aa", "ih", "stop", "t burst"),
    "stop": ("s", "stop", "t burst", "aa", "stop", "p burst"),
    "go": ("voiced stop", "g burst", "ao", "uw"),
    "open": ("ao", "uh", "stop", "p burst", "puff", "ah", "n"),
    "close": ("stop", "k burst", "puff", "l", "ao", "uw", "z"),
    "mute": ("m", "y", "uw", "stop", "t burst"),
    "play": ("stop", "p burst", "puff", "l", "eh", "iy"),
}

ACCENTS: dict[str, Accent] = {
    "plain": Accent(),
    "northern": Accent(
        {"ah": (0.72, 0.92), "aa": (0.95, 1.22), "uw": (1.0, 1.35), "ao": (1.15, 1.1), "eh": (1.15, 0.9)}, 0.9
    ),
    "drawling": Accent(
        {
            "eh": (0.78, 1.12),
            "ih": (0.85, 1.1),
            "aa": (0.85, 0.85),
            "ao": (0.8, 0.85),
            "ah": (0.85, 1.2),
            "uw": (1.2, 0.8),
        },
        1.25,
    ),
}

# Sex and accent are independent of each other; a speaker determines both.
SPEAKERS: tuple[Speaker, ...] = (
    Speaker("s01", "female", "plain", 205, 1.17, 0.45, 0.06, 1.00, 0.006, 3650),
    Speaker("s02", "male", "northern", 112, 0.97, 0.3, 0.03, 1.08, 0.008, 3150),
    Speaker("s03", "female", "drawling", 182, 1.08, 0.75, 0.16, 0.93, 0.012, 3300),
    Speaker("s04", "male", "plain", 138, 1.07, 0.55, 0.05, 1.12, 0.005, 3500),
    Speaker("s05", "female", "northern", 228, 1.21, 0.15, 0.04, 1.10, 0.007, 3450),
    Speaker("s06", "male", "drawling", 96, 0.9, 0.6, 0.1, 0.90, 0.018, 3000),
    Speaker("s07", "female", "plain", 246, 1.26, 0.7, 0.14, 0.95, 0.009, 3250),
    Speaker("s08", "male", "plain", 104, 0.94, 0.8, 0.09, 0.96, 0.010, 2950),
    Speaker("s09", "female", "northern", 190, 1.12, 0.5, 0.09, 0.92, 0.014, 3600),
    Speaker("s10", "male", "northern", 128, 1.03, 0.72, 0.14, 0.94, 0.006, 3400),
    Speaker("s11", "female", "drawling", 216, 1.15, 0.3, 0.03, 1.06, 0.005, 3200),
    Speaker("s12", "male", "drawling", 120, 1.0, 0.15, 0.03, 1.05, 0.009, 3600),
)


def voices(
    folder: str | Path,
    clips: int = 2000,
    seed: int = 0,
    rate: int = 8000,
    *,
    force: bool = False,
    run: Run | None = None,
) -> Path:
    """Write a media folder of mono 16-bit wav files and its metadata.csv.

    Columns: file_name, speaker (12), word (12), sex (2), accent (3) and take. Speakers and words are balanced and
    independent; a speaker determines sex and accent. Takes differ in melody, tempo, level and noise. The same seed
    gives the same files, and a take is the same for any number of clips. The name of a file carries no information.
    2,000 clips take about 10 s.

    Parameters
    ----------
    folder
        Where to write.
    clips
        Number of files, 1 to 99999.
    seed
        Of all draws.
    rate
        Samples per second, 8000 to 96000.
    force
        Whether an existing folder is replaced.
    run
        Its progress is reported.

    Raises
    ------
    SordineError
        Where an argument is out of range, or the folder exists without `force` or cannot be written.
    """
    run = run or Run()
    if not 1 <= clips <= 99_999:
        raise SordineError(f"voices: clips={clips}; it must be from 1 to 99999")
    if not 8000 <= rate <= 96_000:
        raise SordineError(f"voices: rate={rate}; it must be from 8000 to 96000")
    pairs = [(speaker, word) for speaker in SPEAKERS for word in WORDS]
    rounds = -(-clips // len(pairs))
    mixed = [numpy_rng(seed, f"voices round {take}").permutation(len(pairs)) for take in range(rounds)]
    plan = [(*pairs[p], take + 1) for take, order in enumerate(mixed) for p in order][:clips]
    # Shuffled once more, so that the number of a file does not reveal the take.
    plan = [plan[i] for i in numpy_rng(seed, "voices order").permutation(clips)]
    with atomic(folder, force=force) as temporary:
        temporary.mkdir()
        with open(temporary / "metadata.csv", "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["file_name", "speaker", "word", "sex", "accent", "take"])
            for i, (speaker, word, take) in enumerate(plan, 1):
                name = f"clip_{i:05d}.wav"
                rng = numpy_rng(seed, f"voices {speaker.name} {word} {take}")
                _write(temporary / name, say(speaker, word, rate, rng), rate)
                rows.writerow([name, speaker.name, word, speaker.sex, speaker.accent, take])
                run.step("voices", i, clips)
    return Path(folder)


def _write(path: Path, sound: np.ndarray, rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, len(sound), "NONE", "not compressed"))
        file.writeframes(np.round(sound * 32767).astype("<i2").tobytes())


def say(speaker: Speaker, word: str, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return one take of a word: (n,) float32, peak below 1, with a short silence at both ends."""
    from scipy.signal import lfilter

    tracks = _tracks(speaker, WORDS[word], rng)
    hop = round(FRAME_S * rate)
    n = hop * len(tracks.voice)
    flow, pulses = _glottis(speaker, n, rate, rng)
    breath = 0.25 * rng.standard_normal(n) * (0.4 + flow)
    over = np.arange(n) / hop - 0.5
    voice, puff = (np.interp(over, np.arange(len(a)), a) for a in (tracks.voice, tracks.breath))
    # Tilt is a first-order low-pass filter of gain 1 at 0 Hz.
    pulses = lfilter([1 - speaker.tilt], [1, -speaker.tilt], pulses)
    sound = _tract((pulses + speaker.breath * breath) * voice + puff * breath, tracks.formants, speaker.ring, rate, hop)
    for centre, width, level in tracks.hisses:
        band = lfilter(*_resonator(centre * speaker.tract**0.5, width, rate), rng.standard_normal(n))
        sound += band / np.sqrt(np.mean(band**2)) * np.interp(over, np.arange(len(level)), level)
    quiet = np.round(rng.uniform(0.02, 0.09, 2) * rate).astype(int)
    sound = np.pad(sound, quiet)
    sound *= 0.06 * 10 ** (rng.normal(0, 3) / 20) / np.sqrt(np.mean(sound**2))
    sound += 0.06 * 10 ** (-rng.uniform(28, 42) / 20) * rng.standard_normal(len(sound))
    return np.asarray(sound * min(1.0, 0.98 / np.abs(sound).max()), dtype=np.float32)


@dataclass(frozen=True)
class _Tracks:
    """Parameters of the voice, one value every 5 ms.

    Attributes
    ----------
    formants
        (frames, 3), in Hz.
    voice, breath
        (frames,) amplitudes.
    hisses
        Centre, bandwidth and (frames,) amplitude of each phoneme with noise.
    """

    formants: np.ndarray
    voice: np.ndarray
    breath: np.ndarray
    hisses: list[tuple[float, float, np.ndarray]]


def _tracks(speaker: Speaker, word: tuple[str, ...], rng: np.random.Generator) -> _Tracks:
    accent = ACCENTS[speaker.accent]
    tempo = speaker.tempo * np.exp(rng.normal(0, 0.08))
    targets, frames = [], []
    for name in word:
        phoneme = PHONEMES[name]
        f1, f2 = accent.shift.get(name, (1.0, 1.0))
        seconds = phoneme.seconds * (accent.length if phoneme.vowel else 1.0) / tempo * np.exp(rng.normal(0, 0.10))
        frames.append(max(2, round(seconds / FRAME_S)))
        targets.append(np.array(phoneme.formants) * (f1, f2, 1.0) * speaker.tract * np.exp(rng.normal(0, 0.02, 3)))
    phonemes = [PHONEMES[name] for name in word]

    def track(values: list[float], smooth: int) -> np.ndarray:
        return _smooth(np.repeat(values, frames), smooth)

    formants = np.stack([_smooth(np.repeat([t[k] for t in targets], frames), 9) for k in range(3)], axis=1)
    hisses = [
        (*p.noise, track([p.hiss if i == k else 0.0 for i in range(len(word))], 2 if p.seconds < 0.03 else 5))
        for k, p in enumerate(phonemes)
        if p.hiss
    ]
    return _Tracks(formants, track([p.voice for p in phonemes], 5), track([p.breath for p in phonemes], 3), hisses)


def _smooth(track: np.ndarray, width: int) -> np.ndarray:
    """Return a moving average; the ends are extended."""
    padded = np.pad(track, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


def _glottis(speaker: Speaker, n: int, rate: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the glottal flow (n,) in [0, 1] and its slope (n,), which excites the tract."""
    at = np.linspace(0, 1, n)
    base, slope, bump = rng.normal((0.0, -2.0, 1.5), (0.8, 1.5, 1.2))
    pitch = speaker.pitch * 2 ** ((base + slope * (at - 0.5) + bump * np.sin(np.pi * at)) / 12)
    # Jitter and shimmer are constant over a cycle, so the cycles are counted before they are disturbed.
    cycle = np.floor(np.cumsum(pitch) / rate).astype(int)
    jitter, shimmer = rng.normal(0, speaker.jitter, cycle[-1] + 1), rng.normal(0, 0.04, cycle[-1] + 1)
    phase = (np.cumsum(pitch * (1 + jitter[cycle])) / rate) % 1
    peak, closed = 0.40, 0.58 + 0.5 * speaker.breath
    rise = 0.5 * (1 - np.cos(np.pi * phase / peak))
    fall = np.cos(np.pi / 2 * np.clip((phase - peak) / (closed - peak), 0, 1))
    flow = np.where(phase < peak, rise, fall) * (1 + shimmer[cycle])
    return flow, np.diff(flow, prepend=flow[0]) * (rate / speaker.pitch) * 0.1


def _resonator(hz: float, width: float, rate: int) -> tuple[list[float], list[float]]:
    """Return a two-pole resonance of gain 1 at 0 Hz, below the Nyquist frequency: (b, a)."""
    radius = np.exp(-np.pi * width / rate)
    turn = 2 * radius * np.cos(2 * np.pi * min(hz, 0.46 * rate) / rate)
    return [1 - turn + radius**2], [1, -turn, radius**2]


def _tract(source: np.ndarray, formants: np.ndarray, ring: float, rate: int, hop: int) -> np.ndarray:
    """Return the source (n,) after four resonators in a row that move every 5 ms: (n,).

    Overlapping windows of the source (20 ms, Hann) are multiplied by the frequency response at their time and added up.
    This gives the output of the moving filter without a loop over samples.
    """
    hz = np.minimum(np.column_stack([formants, np.full(len(formants), ring)]), 0.46 * rate)
    radius = np.exp(-np.pi * (50 + 0.04 * hz) / rate)
    turn = 2 * radius * np.cos(2 * np.pi * hz / rate)
    # Long enough for the slowest resonance to decay; a whole number of hops, so that windows add up in rows.
    window, hops = 4 * hop, 16
    length = hops * hop
    back = np.exp(-2j * np.pi * np.fft.rfftfreq(length))
    response = np.ones((len(hz), len(back)), complex)
    for k in range(hz.shape[1]):
        turned, twice = turn[:, k, None], radius[:, k, None] ** 2
        response *= (1 - turned + twice) / (1 - turned * back + twice * back**2)
    # Window i is centred on frame i and begins one and a half hops before it.
    lead = window // 2 - hop // 2
    padded = np.pad(source, (lead, window))
    windows = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop][: len(hz)]
    hann = 0.25 * (1 - np.cos(2 * np.pi * (np.arange(window) + 0.5) / window))
    sounding = np.fft.irfft(np.fft.rfft(windows * hann, length) * response, length).reshape(len(hz), hops, hop)
    rows = np.zeros((len(hz) + hops, hop))
    for k in range(hops):
        rows[k : k + len(hz)] += sounding[:, k]
    return rows.ravel()[lead : lead + len(source)]
