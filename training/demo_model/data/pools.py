"""Random words, names and values.

Most values are made up on the spot.  A model that has never seen a value can only be right by
*copying* it from the prompt, and that is the ability which tool calls and answers from a context
need.  Lists of real words are split by a checksum: the evaluation draws from words that training
never sees.

A finite list would be learned by heart, and a token that is never the right answer in training is
hardly ever given as one later.  So training takes a good part of its names and nouns from
*blends*, the head of one word and the tail of another (``win`` + ``tory``), and of its foreign
words from random characters: any piece of any word is copied now and then.  Words of closed
classes (languages, colors, verbs) stay as they are most of the time, for it is from them that a
reader tells what a sentence is about.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from zlib import crc32

NAMES = """
Alice Bob Carol David Emma Frank Grace Henry Irene Jack Karen Leo Maria Nina Oscar Paula Quentin
Rosa Sam Tina Uma Victor Wendy Xavier Yara Zoe Anna Ben Clara Daniel Elena Felix Hannah Ivan Julia
Kevin Laura Mark Nora Oliver Peter Rachel Simon Tom Vera Walter Yusuf Amir Bella Diego Fatima Hugo
Ines Jonas Kenji Lena Mateo Nadia Olga Pablo Rita Sven Tara Viktor Aisha Bruno Chloe Dmitri Eva
Farid Greta Hiro Isla Jana Kofi Lars Mina Noah Omar Priya Ravi Sara Theo Ursula Wei Ying Zara Adam
Agnes Albert Alex Alma Andrea Arthur Audrey Beatrice Boris Brian Caleb Cecil Charlotte Claire Dana
Derek Diana Doris Edgar Edith Edward Ella Eric Esther Ethan Fiona Fred Gina Gloria Gordon Grant
Harold Harriet Helen Howard Ingrid Isaac Jacob James Jane Jason Jean Joan John Joseph Judith Karl
Katherine Kim Lara Laura Linda Louis Lucy Luke Lydia Margaret Martin Mary Michael Miriam Naomi
Nathan Neil Nick Norman Otto Patrick Paul Pedro Philip Rebecca Richard Robert Roger Ruth Samuel
Sandra Stella Stephen Susan Sylvia Thomas Timothy Tony Vincent Violet Wilma William Winston
""".split()

SURNAMES = """
Smith Jones Brown Miller Davis Garcia Wilson Moore Taylor Clark Lewis Walker Young King Wright
Scott Green Baker Adams Nelson Hill Campbell Mitchell Carter Roberts Turner Parker Evans Collins
Meyer Schmidt Rossi Silva Tanaka Kim Chen Patel Novak Larsen Dubois Costa Ito Haddad Okafor
Anderson Bailey Barnes Bell Bennett Brooks Butler Coleman Cook Cooper Cox Cruz Diaz Edwards Fisher
Fleming Ford Foster Gray Griffin Hamilton Harris Hawkins Hayes Hughes Hunt Jackson Jenkins Johnson
Kelly Lindgren Long Lopez Marshall Martin Mason Morgan Murphy Olsen Owens Palmer Perry Peters Price
Reed Reyes Rivera Rogers Russell Sanders Shaw Simmons Stewart Stone Sullivan Turing Wagner Wallace
Watson Weber West White Wood
""".split()

CITIES = """
Paris London Berlin Madrid Rome Vienna Prague Oslo Lisbon Dublin Athens Warsaw Cairo Nairobi Lagos
Tokyo Osaka Seoul Delhi Mumbai Sydney Perth Toronto Boston Chicago Denver Seattle Austin Miami
Lima Bogota Quito Geneva Zurich Munich Hamburg Lyon Milan Naples Porto Krakow Riga Helsinki
New_York San_Francisco Los_Angeles Cape_Town Hong_Kong Rio_de_Janeiro Mexico_City Buenos_Aires
New_Delhi Salt_Lake_City St_Petersburg New_Orleans Las_Vegas Kuala_Lumpur Tel_Aviv New_York_City
Accra Adelaide Algiers Amsterdam Ankara Atlanta Auckland Baltimore Bangkok Barcelona Basel Beijing
Beirut Belfast Belgrade Bergen Bern Bilbao Birmingham Bologna Bordeaux Bremen Bristol Brussels
Bucharest Budapest Calgary Cambridge Canberra Cardiff Casablanca Cleveland Cologne Copenhagen Dallas
Detroit Dresden Dubai Edinburgh Florence Frankfurt Genoa Glasgow Granada Graz Hanoi Havana Houston
Istanbul Jakarta Kyoto Leeds Leipzig Liverpool Lusaka Manchester Manila Marseille Melbourne Memphis
Montreal Moscow Nashville Nice Oakland Omaha Orlando Ottawa Oxford Palermo Philadelphia Phoenix
Pittsburgh Portland Rotterdam Santiago Seville Shanghai Singapore Sofia Split Stockholm Tampa Tunis
Turin Utrecht Valencia Vancouver Venice Vilnius Wellington Winnipeg Zagreb
El_Paso Baton_Rouge Long_Beach San_Diego San_Jose Santa_Fe Fort_Worth Porto_Alegre Addis_Ababa
Ho_Chi_Minh_City Port_Louis Den_Haag Abu_Dhabi Saint_Paul Kansas_City Quebec_City
""".split()

NOUNS = """
apple book car chair clock coat cup desk door engine farm fish flag forest game garden hammer hat
hill hotel house island jacket key lake lamp letter library map market mirror museum night ocean
office paper park pencil phone piano picture river road rocket school shirt shop snow song spoon
star station stone story street summer table theater ticket tower train tree truck valley village
wall watch water window winter wolf camera bridge castle cloud coffee dinner dragon flower guitar
airport album animal answer arrow artist ball bank basket battery beach bear bed bell bench bicycle
bird blanket boat bottle box bread brush bus butter button cabin cable cake camp candle card carpet
cat cellar chain cheese church circle circus classroom coast compass computer concert cookie corner
cottage cousin cow crown curtain dance desert diamond dictionary dish doctor dog dolphin dress drum
duck ear egg elephant envelope fabric factory feather fence festival field finger fire fountain fox
frame friend fruit furniture gallery gate gift glass glove goat grape grass hall harbor harvest
heart helmet holiday honey horse hospital ice insect iron jar jungle kettle kitchen kite knife
ladder language laptop leaf lemon lesson lion machine magazine meadow meal medal melody milk
mountain mouse movie mushroom nail necklace needle nest newspaper notebook onion orange orchestra
owl package palace pan parade parrot party passport path peach pepper picnic pie pillow pilot pizza
plane planet plate pocket poem pond potato printer prize puzzle queen rabbit radio rain recipe
ribbon rice ring robot roof rope rose ruler sail salad sandwich scarf screen sea seed shelf ship
shoe sign silk smoke soap sofa soup spider square stadium stamp statue storm suitcase sun swan
sweater temple tent tiger toast tomato tool towel toy trail turtle umbrella uniform vase violin
voice wagon wallet whale wheat wheel whistle wind wine wing wood wool yard zebra
""".split()

ADJECTIVES = """
big small red blue green old new quiet loud warm cold dark bright happy sad fast slow young strong
soft sharp sweet wild brave clean dry empty gentle golden heavy hidden long lucky modern narrow
open plain proud rich round silent silver simple smooth tall tiny wide wooden yellow
ancient angry black bitter blind busy calm careful cheap clever cold cool crazy crisp deep early
famous fancy first flat fresh friendly frozen funny giant glad good great hard healthy holy hot huge
hungry important kind large last late lazy light little lonely mild noisy odd orange perfect pink
plastic poor pretty private public purple quick rare raw real royal rusty secret second shiny short
sleepy solid sour special spicy square steep strange sunny thick thin tired true ugly useful vast
warm weak white wise wonderful
""".split()

VERBS = """
buy call clean paint repair sell visit watch write read open close move find build cook send wash
check plan print order pay book bring carry draw feed fix learn lock pack plant
answer ask bake borrow break burn catch change choose climb collect count cover cut dig drop dry eat
fetch fill finish fold follow grow hang hide hold iron join keep lift load mend mix move paint park
pick polish pull push renew replace return save sharpen sort start stop study teach test tidy turn
unpack update use wake wrap
""".split()

FOREIGN = """
北京 上海 東京 京都 大阪 서울 부산 Москва Казань Киев Αθήνα 广州 深圳 天气 明天 你好 世界 图书馆
音乐 電車 São_Paulo Zürich München Málaga Kraków Łódź Göteborg Besançon Córdoba Århus Reykjavík
Düsseldorf café Müller José François Søren Zoë Renée Jürgen Núñez Čapek İzmir naïve crème_brûlée
привет погода завтра книга Ольга Иван Сергей 李明 王芳 佐藤 鈴木 김민수 мир хлеб молоко 牛奶 面包
咖啡 杭州 南京 武汉 重庆 西安 台北 名古屋 札幌 福岡 横浜 대구 인천 제주 광주 안녕하세요 고양이
이영희 박지성 Новосибирск Омск Самара Минск Львов Варшава София Анна Дмитрий Наталья кошка собака
вода музыка вечер утро Θεσσαλονίκη Πάτρα Λάρισα Μαρία Γιώργος νερό ψωμί καλημέρα ウィーン トマト
ラジオ さくら ありがとう 山田 田中 高橋 中村 渡辺 张伟 刘洋 陈静 赵敏 孙丽 苹果 火车 医生 老师
下雨 春天 会议 电影 手机 学校 花园 Cádiz Núria Bogotá Asunción Brasília Curaçao Genève Liège
Orléans Beşiktaş Eskişehir Çeşme Muğla Gdańsk Wrocław Poznań Toruń Plzeň Třebíč Ústí Žilina Košice
Győr Pécs Székesfehérvár Timișoara Iași Brașov Malmö Umeå Västerås Tromsø Ålesund Bodø Ærø
Jyväskylä Hämeenlinna Pärnu Kärdla Łukasz Małgorzata Jiří Zdeněk Björn Åsa Håkan Günther Käthe
Änne Beyoncé Chloé Zoé André Inês João Conceição Muñoz Peña Ibáñez Gómez jalapeño fiancée résumé
château à_la_carte façade über Straße Größe öffnen déjà_vu São_Tomé Côte_d'Azur
""".split()

JOBS = "baker doctor driver farmer painter pilot singer teacher nurse cook writer lawyer".split()
COLORS = "red blue green yellow white black brown purple orange gray".split()

_ONSETS = "b c d f g h j k l m n p r s t v w z br cl dr fl gr kr pl st tr th sh qu".split()
_VOWELS = "a e i o u ai ea io ou a e i o u".split()
_CODAS = ["", "", "", "n", "r", "s", "l", "m", "x", "nd", "rk", "st"]


_SCRIPTS = (
    "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长",
    "абвгдежзийклмнопрстуфхцчшщыьэюя",
    "αβγδεζηθικλμνξοπρστυφχψω",
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわん",
    "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン",
    "áàâäãåæçéèêëíìîïñóòôöõøœúùûüýÿßčćđěłńřśšťůžőűğışżźąę",
)

_KANA = (
    _SCRIPTS[3] + "がぎぐげござじずぜぞだでどばびぶべぼぱぴぷぺぽ",
    _SCRIPTS[4] + "ガギグゲゴザジズゼゾダデドバビブベボパピプペポャュョッー",
)


def held_out(item: str) -> bool:
    """Whether ``item`` is kept for the evaluation: one in eight, by its checksum."""
    return crc32(item.encode()) % 8 == 0


_OPEN = (NAMES, SURNAMES, CITIES, NOUNS, FOREIGN)
"""Lists of words of which there are endlessly many more."""

_WORDS = sorted(
    {
        word.lower()
        for words in (NAMES, SURNAMES, CITIES, NOUNS, ADJECTIVES, VERBS)
        for item in words
        for word in item.split("_")
    }
)


@dataclass
class Pools:
    """Draws random values, either for training or for the evaluation, never both."""

    rng: random.Random
    evaluation: bool = False
    _lists: dict[int, list[str]] = field(default_factory=dict)

    def pick(self, items: list[str]) -> str:
        """One of ``items`` that belongs to our side of the split; ``_`` stands for a space."""
        mine = self._lists.get(id(items))
        if mine is None:
            mine = [i.replace("_", " ") for i in items if held_out(i) == self.evaluation]
            self._lists[id(items)] = mine = mine or list(items)
        word = self.rng.choice(mine)
        if self.evaluation or not self.chance(0.35 if items in _OPEN else 0.1):
            return word
        if items is FOREIGN:
            return self._strange()
        return " ".join(self._blend(part) for part in word.split())

    def _blend(self, like: str) -> str:
        """The head of one word and the tail of another, capitalized like a third."""
        rng = self.rng
        one, two = rng.choice(_WORDS), rng.choice(_WORDS)
        word = one[: rng.randrange(1, len(one) + 1)] + two[rng.randrange(len(two)) :]
        word = word[:10]
        if held_out(word) or held_out(word.capitalize()):
            return like
        return word.capitalize() if like[0].isupper() else word

    def _strange(self) -> str:
        """Random characters of one script; accents stand among plain letters."""
        rng = self.rng
        draw = rng.random()
        if draw < 0.35:
            first, last = rng.choice(((0x4E00, 0x9FA5), (0xAC00, 0xD7A3)))
            length = rng.choice((1, 2, 2, 3, 4, 5))
            return "".join(chr(rng.randint(first, last)) for _ in range(length))
        script = rng.choice(_SCRIPTS)
        if script is _SCRIPTS[-1]:
            word = self._blend("x" if self.chance(0.3) else "X")
            place = rng.randrange(len(word))
            return word[:place] + rng.choice(script) + word[place + self.chance(0.6) :]
        length = rng.choice((2, 2, 3, 4, 6, 8)) if ord(script[0]) > 0x3000 else rng.randrange(3, 9)
        word = "".join(rng.choice(script) for _ in range(length))
        return word.capitalize() if self.chance(0.6) else word

    def chance(self, share: float) -> bool:
        """True in ``share`` of the draws."""
        return self.rng.random() < share

    def choice(self, *items: str) -> str:
        """One of the arguments."""
        return self.rng.choice(items)

    def pseudo(self, capital: bool = False) -> str:
        """A word that does not exist."""
        rng = self.rng
        parts = [
            rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)
            for _ in range(rng.choice((1, 2, 2)))
        ]
        word = "".join(parts)
        return word.capitalize() if capital else word

    def name(self) -> str:
        """A first name, sometimes invented, sometimes with a surname."""
        first = self.pick(NAMES) if self.chance(0.9) else self.pseudo(capital=True)
        return f"{first} {self.pick(SURNAMES)}" if self.chance(0.4) else first

    def surname(self) -> str:
        """A family name."""
        return self.pick(SURNAMES)

    def city(self) -> str:
        """A city, real, foreign or invented."""
        draw = self.rng.random()
        if draw < 0.05:
            return f"{self.pick(CITIES)}, {self.choice('TX', 'CA', 'UK', 'France', 'Ohio')}"
        if draw < 0.76:
            return self.pick(CITIES)
        if draw < 0.88:
            return self.pick(FOREIGN)
        place = self.pseudo(capital=True)
        return f"{self.choice('New', 'Port', 'San', 'Lake')} {place}" if draw > 0.96 else place

    def foreign(self) -> str:
        """A value beyond ASCII, of one or two words, not the same twice."""
        word = self.pick(FOREIGN)
        other = self.pick(FOREIGN)
        return f"{word} {other}" if self.chance(0.35) and other != word else word

    def compound(self) -> str:
        """One to three words run together, as Chinese and Japanese write names; half are kana."""
        words = []
        for _ in range(self.rng.choice((1, 2, 2, 3))):
            word = self.pick(FOREIGN)
            if word[0] < "\u3040" or self.chance(0.5):
                kana = self.choice(*_KANA)
                word = "".join(self.rng.choices(kana, k=self.rng.randrange(2, 6)))
            words.append(word)
        return "".join(words)

    def number(self) -> int:
        """A whole number, small more often than large."""
        return self.rng.randrange(10 ** self.rng.choice((1, 2, 2, 3, 4)))

    def decimal(self) -> float:
        """A number with one or two decimals."""
        places = self.rng.choice((1, 2))
        value = round(self.rng.uniform(0, 10 ** self.rng.choice((1, 2, 3))), places)
        return value if value != int(value) else value + 0.5

    def noun(self) -> str:
        """A thing."""
        return self.pick(NOUNS) if self.chance(0.92) else self.pseudo()

    def thing(self) -> str:
        """A thing of one or two lower-case words."""
        return self.noun() if self.chance(0.5) else f"{self.pick(ADJECTIVES)} {self.noun()}"

    def deed(self) -> str:
        """Something to do, of two to four lower-case words."""
        whom = self.pick(NAMES) if self.chance(0.25) else f"the {self.thing()}"
        return f"{self.pick(VERBS)} {whom}"

    def phrase(self) -> str:
        """One to four lower-case words."""
        forms = (
            self.thing,
            self.thing,
            self.deed,
            lambda: f"{self.thing()} and {self.noun()}",
            lambda: f"{self.noun()} {self.choice('of', 'with', 'for', 'in')} {self.noun()}",
        )
        return self.rng.choice(forms)()

    def title(self) -> str:
        """A capitalized phrase of two to four words, as of a book or a hotel."""
        words = [self.pick(ADJECTIVES), self.noun()]
        if self.chance(0.4):
            words.insert(0, self.choice("The", "My", "Our"))
        if self.chance(0.3):
            words += [self.choice("of", "in", "and"), self.noun()]
        small = ("of", "in", "and")
        return " ".join(w if w in small else w.capitalize() for w in words)

    def code(self) -> str:
        """An identifier such as ``INV-2041``, ``ab_77``, ``x90`` or ``7K20QQ4``."""
        rng = self.rng
        if self.chance(0.15):
            return "".join(rng.choices("0123456789ABCDEFGHJKMNPQRSTUVWXZ", k=rng.randrange(6, 12)))
        letters = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.choice((1, 2, 3))))
        mark = rng.choice(("-", "_", ""))
        letters = letters.upper() if self.chance(0.6) else letters
        return f"{letters}{mark}{rng.randrange(10, 10000)}"

    def date(self) -> str:
        """A day, in one of three notations."""
        rng = self.rng
        months = "January March April May June July August October November December".split()
        day, month = rng.randrange(1, 29), rng.choice(months)
        iso = f"20{rng.randrange(10, 40)}-{rng.randrange(1, 13):02}-{day:02}"
        week = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday tomorrow today".split()
        return rng.choice((iso, f"{month} {day}", rng.choice(week)))

    def time(self) -> str:
        """A time of day."""
        rng = self.rng
        hour = rng.randrange(1, 13)
        half = rng.choice(("am", "pm"))
        return rng.choice((f"{hour} {half}", f"{rng.randrange(24)}:{rng.randrange(60):02}"))

    def address(self) -> str:
        """An e-mail address."""
        user = self.pick(NAMES).lower()
        return f"{user}@{self.pseudo()}.{self.choice('com', 'org', 'net')}"

    def path(self) -> str:
        """A file name or path."""
        name = f"{self.noun()}.{self.choice('txt', 'csv', 'py', 'md', 'json')}"
        draw = self.rng.random()
        if draw < 0.5:
            return name
        return f"/{self.choice('home', 'data', 'tmp')}/{self.noun()}/{name}"
