"""Names and ids for containers whose users gave them none."""

from __future__ import annotations

import os
from collections.abc import Callable

from pyengine.model.options_program import container_name

TRIES = 6
"""How often a taken name is answered with another, as in Docker (row C23)."""

_ADJECTIVES = (
    "able airy alert ample amused ardent artful astute autumnal avid balmy benign blithe bold "
    "bonny brave breezy bright brisk bubbly calm candid canny careful cheery civil classy clear "
    "clever coastal comic cordial courtly cozy crafty crisp cuddly curious dainty dapper daring "
    "deft devoted diligent dulcet eager earnest easy elated elegant eloquent eminent epic "
    "ethereal exact fabled fair faithful famed fearless festive fluent frank fresh frosty gallant "
    "generous gentle giddy gifted gleeful golden graceful grand hardy hearty helpful heroic "
    "honest humble humming idyllic jaunty jolly jovial joyful keen kind lively lucid lucky "
    "luminous lunar lyric mellow merry mighty mindful modest musing neat nimble noble opal "
    "patient peaceful perky placid playful plucky polite proud quick quiet radiant ready rosy "
    "serene shiny silent sincere sleek snug solar sonorous spirited spry stellar sturdy subtle "
    "sunny supple swift tactful tender thrifty tidy tranquil trusty upbeat valiant verdant vernal "
    "vivid warm whimsical winsome wise witty zesty"
)
_SURNAMES = (
    "abel addams agnesi airy akeley alcott aldrin ampere anning apgar appert arago arbus arendt "
    "argand armstrong artin aspdin atanasoff atwood austen avogadro baade babbage bach baird "
    "balzac banneker banting bardeen barnard bartok bashford bassi becquerel behn bell benz "
    "bernoulli berry bessel biot black blake bly bolzano bondi boole borges bouvier boyle bragg "
    "brahe braille brandt brel bronte bruch brunel buck bunsen burnell byron cage callas calder "
    "canova cantor carnot carver cassatt cassini cather cauchy cavell cayley celsius cezanne "
    "chagall chaplin chopin clarke cleve cooper corelli cori coulomb cousteau cray dalton darwin "
    "davy debussy degas descartes dewey diesel dirac doppler dufay duncan dunant durer dvorak "
    "earhart eckert eddington edison ekman eliot elion ellington erdos eyre euler faraday fermat "
    "fibonacci fleming foucault fourier franklin fresnel frisch frobenius fuchs fuller gabor "
    "galilei galle galois gauss gibbs goddard goethe golgi grieg gropius hadamard hahn hale "
    "halley hamilton handel haydn heaviside henry hertz herschel hesse hilbert hodgkin holst "
    "hooke hooper hubble hugo humboldt hutton huxley ibsen jacobi jacquard jansky jemison jenner "
    "joule kahlo kant keats kepler klee klein koch kolbe kummer kuiper lagrange lamarr lamb "
    "laplace larkin lavoisier leavitt legendre leibniz lessing linnaeus liszt littlewood lovelace "
    "lowell lyell mach mahler malpighi manet mann marconi maxwell mayer mendel mercator messier "
    "miro moissan monet monge montessori morse mozart nansen napier nernst neruda newton nobel "
    "noether oersted ohm okeeffe olbers orff otto owens parks pascal pasteur pauli peano penck "
    "perrault petrarch planck plath poe poisson priestley proust purcell ramsay ravel rayleigh "
    "riemann ritter rodin rontgen rossini rumford sabin sand satie savery schubert seurat shannon "
    "sibelius siemens smetana snow somerville stein stokes swan tesla thales thomson tolstoy "
    "torricelli turing twain tyndall vega verdi verne vivaldi volta wallace watt weber wegener "
    "weierstrass wells whitman wiles woolf wright wren yeats young zola zuse"
)
ADJECTIVES = tuple(_ADJECTIVES.split(" "))
SURNAMES = tuple(_SURNAMES.split(" "))


def new_id() -> str:
    """64 hexadecimal digits that nobody can guess and nobody else has.

    >>> len(new_id())
    64
    """
    return os.urandom(32).hex()


def generate_name(taken: Callable[[str], bool]) -> str:
    """A name such as ``quiet_noether`` that is not *taken*.

    From the second try on it ends in a digit; when all `TRIES` fail it is 12 hexadecimal
    digits. Claiming the name is up to the caller: between asking and claiming it may go.

    >>> "_" in generate_name(lambda name: False)
    True
    """
    for attempt in range(TRIES):
        name = _draw(attempt)
        if not taken(name):
            return name
    return os.urandom(6).hex()


def _draw(attempt: int) -> str:
    # not the random module: importing it costs milliseconds, and a fork would repeat its names
    number = int.from_bytes(os.urandom(8), "little")
    number, adjective = divmod(number, len(ADJECTIVES))
    number, surname = divmod(number, len(SURNAMES))
    digit = str(number % 10) if attempt else ""
    return f"{ADJECTIVES[adjective]}_{SURNAMES[surname]}{digit}"


def check_name(name: object) -> str:
    """*name* without a leading slash; `InvalidRequest` if a container may not be called so.

    >>> check_name("/web-1")
    'web-1'
    """
    return container_name(name)
