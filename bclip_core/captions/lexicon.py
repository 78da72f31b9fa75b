"""Words the rule-based tagger knows: all closed classes, and the open ones that captions use.

A word that is not listed is judged by its ending, and is a noun where that says nothing. Verbs are
listed by their base form; `third_person` and the regular endings give the others.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DETERMINERS = _words(
    "the a an this these those each every another some any no all both either neither"
)
POSSESSIVES = _words("its their his my your our whose")
PRONOUNS = _words(
    "it they them he him she her we us you i me itself themselves himself herself someone "
    "somebody something anyone anything everyone everything nothing none which who whom what that "
    "there"
)
AUXILIARIES = _words(
    "is are was were be been being am isn't aren't wasn't weren't 's 're 'm ’s ’re do does did "
    "don't doesn't didn't"
)
MODALS = _words(
    "can could may might must shall should will would can't cannot couldn't won't wouldn't 'll 'd"
)
PREPOSITIONS = _words(
    "of on with at from over between towards toward for into onto against than during beside "
    "within alongside atop among amongst via off up down out upon amid amidst per despite without "
    "like as except besides till until due across along through under in by around about"
)
# Prepositions where a noun phrase follows, adverbs or nouns elsewhere: "seen below", "the inside".
LOOSE_PREPOSITIONS = _words(
    "above below underneath inside outside behind near beneath throughout before after opposite "
    "past beyond"
)
CONJUNCTIONS = _words("and or but nor & / yet")
SUBORDINATORS = _words("while where because if when although though since whereas whether so")
ADVERBS = _words(
    "also very well not then just too almost still here away together apart ahead forward "
    "forwards backward backwards upward upwards downward downwards outward outwards inward "
    "inwards sideways halfway indoors outdoors however instead rather quite somewhat perhaps "
    "maybe often always sometimes again once twice aside upright forth elsewhere somewhere "
    "everywhere nowhere least ever never already soon now later thus hence likewise alike afar "
    "upside aloft alone else enough downhill midway"
)
# Adverbs that are adjectives where a noun follows.
ADVERB_ADJECTIVES = _words(
    "far overhead more most less only nearby close straight much further farther even next early "
    "late otherwise"
)
LY_ADJECTIVES = _words(
    "friendly curly lively daily ugly likely elderly hilly oily bubbly lovely lonely deadly "
    "orderly wrinkly prickly scaly leisurely"
)
LY_NOUNS = _words(
    "family fly assembly butterfly lily belly jelly gully dragonfly trolley reply italy"
)
NUMBERS = _words(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
    "hundred thousand"
)
SIDES = _words("left right top bottom front back middle center centre rear")
COLOURS = _words(
    "white black blue green red gray grey brown yellow pink purple beige teal maroon turquoise "
    "golden crimson navy magenta cyan violet lavender khaki burgundy peach ivory scarlet olive "
    "aqua indigo"
)
# Adjectives where a noun follows, else nouns.
ADJECTIVE_NOUNS = _words(
    "light dark square tan silver gold orange cream bronze concrete daytime nighttime half "
    "outdoor indoor medium interior exterior public male female human adult african american "
    "japanese chinese english french german italian mexican indian roman greek british asian "
    "european plain present uniform oval"
)
ADJECTIVES = COLOURS | _words(
    "several many few multiple various other such same own certain different similar large small "
    "tall long short big little tiny huge giant massive enormous wide narrow thick thin deep "
    "shallow high low upper lower inner outer closest furthest farthest nearest adjacent main "
    "central single double triple entire whole full empty open visible clear bright dim pale "
    "vivid vibrant dull faint soft hard smooth rough flat round circular rectangular triangular "
    "vertical horizontal diagonal parallel perpendicular curvy wavy sharp steep urban rural "
    "suburban residential industrial modern old new young ancient antique vintage traditional "
    "contemporary victorian wooden woolen wet dry damp dirty clean dusty muddy rusty rocky sandy "
    "grassy leafy bushy snowy icy sunny cloudy overcast rainy foggy hazy misty windy stormy "
    "sunlit shady shiny glossy matte translucent transparent opaque busy quiet calm serene dense "
    "sparse bare green dead alive fresh ornate elaborate intricate simple blurry complete total "
    "slight heavy strong weak warm cool cold hot mild casual formal floral natural fake real "
    "solid loose tight rigid fluffy furry hairy fuzzy puffy spiky pointy skinny bald blonde blond "
    "curly messy tidy neat uneven odd rare unusual separate identical distinct prominent major "
    "minor larger smaller taller shorter longer wider narrower thicker thinner bigger higher "
    "darker lighter brighter older newer younger deeper closer largest smallest tallest longest "
    "biggest highest darkest lightest lowest first second third fourth fifth sixth seventh eighth "
    "ninth tenth last final former latter recent current unseen overgrown stainless digital "
    "medical royal national international local regional elegant fancy modest cozy slim slender "
    "lean muscular elderly distant remote unclear unknown ready apparent obvious evident subtle "
    "extreme intense gentle tabby bluish greyish happy sad angry sleepy aerial coastal tropical "
    "alpine arid abundant extra spare mixed overall general particular special regular irregular "
    "random uniform abstract bent crooked lone solitary asleep awake ajar multi semi mid ripe raw "
    "quaint creamy wiry sturdy bulky hefty leftmost rightmost topmost lowermost uppermost true "
    "false focal facial dental sketchy wrought naked wicked jagged rugged broad lush bold ambient "
    "diverse solar military metropolitan tranquil stationary stern commercial "
    "gloomy common fair retail multistory immediate unique good plush mature rich dreary "
    "everyday healthy russian grand ornamental pleasant temporary foreign miniature polar "
    "vehicular moderate makeshift frontal hexagonal fine equal singular bilingual significant "
    "bygone warmer foremost twin visual neutral safe evergreen diffuse stark picturesque sleek "
    "private reminiscent barren sheer murky egyptian wild popular indistinct faux dominant "
    "mobile cooler consistent canadian dual"
)
NOUNS = _words(
    # in -ing
    "building parking ceiling setting writing railing painting crossing lighting opening "
    "lettering awning drawing clothing evening ring string weathering shopping advertising wing "
    "seating morning fencing branding flooring siding carving warning beginning detailing framing "
    "landing scaffolding coloring gathering outing king thing spring sling swing bedding stocking "
    "frosting icing dressing topping stuffing roofing wiring paving plating piping tubing netting "
    "padding lining backing coating covering casing housing dwelling molding moulding trimming "
    "shelving rigging wedding meeting greeting earring pudding duckling seedling sibling herring "
    "marking bunting wording shading stitching edging banding spacing cladding"
    # in -ed, -ic, -ive, -ish and other endings of adjectives
    "bed shed sled seed weed reed speed feed thread bread steed breed watershed moped deed need "
    "bush fabric traffic music mosaic graphic comic clinic plastic ceramic picnic logistic topic "
    "critic attic arctic mechanic panic relic tunic archive objective perspective relative "
    "detective motive dish fish radish rubbish table cable stable vegetable pattern lantern "
    "fern tavern cavern octopus cactus campus lens glass grass dress canvas bus vehicle "
    "territorial memorial dial trial material official professional "
    "finish handful angelfish"
)
# Participles that do not end in -ed.
PARTICIPLES = _words(
    "made seen written cast cut held taken spread drawn broken worn built given shown hung laid "
    "stuck fallen grown torn bound hidden woven blown thrown sewn driven frozen put found known "
    "kept caught split bent strung wound swept spun sunk told lit eaten chosen ridden risen won "
    "meant kneeling gone lain set backlit inlaid clad strewn"
)
# Base forms that are rarely anything but verbs.
VERBS = _words(
    "have see appear read capture go depict sit suggest say extend consist seem make shine take "
    "include come indicate hold hang continue wear create fall contain resemble get lay begin "
    "fill grow surround rise reach illuminate reveal provide enter meet showcase connect add lie "
    "lead stand run feature overlook adorn dominate obscure obstruct hide divide evoke convey "
    "hint imply exude denote emphasize accentuate complement enhance give keep let want become "
    "remain stay belong carry bring pull swim wait stare speak converse throw leap "
    "climb crawl creep rotate pour drip flicker gleam shimmer twinkle blend merge widen protrude "
    "emerge disappear vanish fade peek peer poke jut dangle droop weave compose comprise depend "
    "eat chew lick sniff lounge kneel sing perform grab clutch arrive depart navigate wander "
    "scatter accompany attach occupy enclose flank encircle loom intersect converge diverge rely "
    "prepare engage interact enjoy gather receive hover soar glide bask graze roam prowl know "
    "think believe tell spell identify allow enable prevent seek advertise promote portray "
    "represent symbolize illustrate describe constitute descend ascend exist sell buy allude "
    "decorate underline walk rest lean start stretch span drape separate sleep reflect crisscross "
    "slope "
    "vary unfold overflow distort engulf traverse populate observe contribute operate recede "
    "follow emit introduce serve delineate pervade envelop demonstrate suspend celebrate raise "
    "relax invite lack present cast cut host attract distinguish"
)
# Base forms that are nouns as often: verbs only where an object or a place follows.
NOUN_VERBS = _words(
    "look face cover cross curve border frame display contrast highlight use ride stop watch gaze "
    "glance smile laugh talk chat play catch hit kick jump slide slip spin roll flow splash spray "
    "glow burn sparkle match end stem project taper stick wrap wind twist bend arch form drink "
    "bite perch dance cook brush hug touch grip pass approach head stroll race bloom blossom "
    "sprout fit dot litter fence branch support work wave pose sport sense tower label mark state "
    "print call help offer slant angle curl view drive drift float sail show line outline accent "
    "trail point rush value shadow close crouch squat travel overhang overlap color block turn "
    "move live leave need park drop track stand walk run span rest start stretch slope sleep lead "
    "reflect separate double crowd exhibit "
    "bear wash push feel split tilt change share range filter pick flutter shoot"
)
# Third persons that are plural nouns as often: verbs only before an object.
PLURAL_NOUN_VERBS = _words(
    "line branch frame print mark label stop cover park play ride fence outline accent trail work "
    "watch wave curve stem slope block border sport form display tower shadow slip slide drop "
    "splash spray wrap brush track drink view sail float blossom bloom sprout dot angle slant "
    "bite stick arch pose roll offer support need project value smile sense dance race call pass "
    "drive match bend twist spin leave color face use fit crowd exhibit state head highlight "
    "cross "
    "change filter cut range share"
)
ALL_VERBS = VERBS | NOUN_VERBS | PLURAL_NOUN_VERBS
# Nouns that describe like adjectives when joined: "a metal and glass building".
MATERIALS = _words(
    "metal brick stone concrete glass wood plastic marble tile steel iron leather gold silver "
    "grass dirt sand gravel asphalt cement rubber paper cotton clay copper brass granite light "
    "medium cream tan orange"
)
IRREGULAR_PLURALS = _words("people men women children feet teeth geese mice sheep deer fish")


def third_person(base: str) -> str:
    """The third person singular of a verb: "reach" gives "reaches"."""
    if base == "have":
        return "has"
    if base.endswith(("s", "sh", "ch", "x", "z", "o")):
        return base + "es"
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ies"
    return base + "s"


THIRD_PERSONS = {third_person(base): base for base in ALL_VERBS}
