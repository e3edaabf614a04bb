#include "datasets/words.h"

const char *const words_adjective[WORDS_N] = {
    "able", "acid", "agile", "amber", "ample", "aloof", "ancient", "angry", "arid", "avid", "balmy", "bare",
    "bent", "bitter", "blank", "bland", "blunt", "bold", "brave", "brief", "bright", "brisk", "broad",
    "bronze", "bumpy", "busy", "calm", "candid", "careful", "chilly", "civil", "clean", "clear", "clever",
    "coarse", "cold", "cosy", "crisp", "cruel", "curious", "damp", "daring", "dark", "deep", "dense", "dim",
    "distant", "dizzy", "double", "dry", "dull", "dusty", "eager", "early", "earnest", "eerie", "elder",
    "empty", "equal", "even", "exact", "faint", "fair", "famous", "fancy", "fast", "fearless", "feeble",
    "final", "fine", "firm", "flat", "fluffy", "fond", "formal", "frail", "frank", "free", "fresh",
    "frosty", "full", "fuzzy", "gentle", "giant", "glad", "gloomy", "golden", "grand", "grave", "greasy",
    "green", "grim", "gritty", "handy", "happy", "hardy", "harsh", "hasty", "hazy", "heavy", "hidden",
    "hollow", "honest", "huge", "humble", "icy", "idle", "inner", "jolly", "keen", "kind", "large", "lazy",
    "lean", "level", "light", "linen", "lively", "local", "lone", "loud", "loyal", "lucky", "lunar",
    "mellow", "merry", "mild", "misty", "modest", "moist", "muddy", "narrow", "neat", "nimble", "noble",
    "noisy", "novel", "odd", "olive", "open", "oval", "pale", "patient", "plain", "polite", "proud",
    "purple", "quick", "quiet", "rapid",
};

const char *const words_noun[WORDS_N] = {
    "acorn", "actor", "anchor", "apple", "arch", "arrow", "attic", "badge", "bakery", "barrel", "basin",
    "basket", "beacon", "beetle", "bell", "bench", "bishop", "blanket", "boat", "bottle", "bridge", "broom",
    "bucket", "button", "cabin", "camel", "candle", "canyon", "carpet", "castle", "cellar", "chapel",
    "cherry", "circle", "cliff", "clock", "cloud", "coach", "collar", "comet", "compass", "copper",
    "corner", "cottage", "cotton", "cradle", "crane", "crater", "curtain", "dagger", "desert", "diamond",
    "dollar", "donkey", "dragon", "drawer", "drum", "eagle", "easel", "engine", "fabric", "falcon",
    "farmer", "feather", "fence", "ferry", "fiddle", "field", "finger", "flag", "flute", "forest", "fossil",
    "fountain", "garden", "garlic", "gate", "ginger", "glacier", "glove", "goblet", "granite", "grape",
    "hammer", "harbor", "hatch", "hazel", "helmet", "heron", "hinge", "honey", "horizon", "island", "ivory",
    "jacket", "jewel", "kettle", "kitchen", "ladder", "lagoon", "lantern", "laurel", "lemon", "lever",
    "lizard", "locket", "magnet", "mantle", "maple", "marble", "market", "meadow", "mirror", "monkey",
    "mosaic", "needle", "nephew", "oasis", "orchard", "otter", "oyster", "paddle", "palace", "parrot",
    "pebble", "pepper", "pillow", "pilot", "planet", "plaza", "pocket", "pony", "prairie", "puzzle",
    "quarry", "quilt", "rabbit", "raven", "ribbon", "river", "rocket", "saddle", "sailor", "salmon",
    "shadow", "shelter", "shovel", "spider", "statue", "stove",
};
