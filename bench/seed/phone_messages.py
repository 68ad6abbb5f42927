#!/usr/bin/env python3
"""A simulator of messages that people get on a phone: it reads lines and writes one for each.

An empty line asks for a message, any other for a variation of it. It was written from what anybody
knows of such messages, before any message of the data was looked at, and knows no label.
"""

from __future__ import annotations

import random
import sys

WORDS = {
    "name": "Anna Tom Sam Lisa Mark Jo Kate Ben Priya Lee Mum Dad Aunty Chris Nina Dave Raj Mei",
    "hello": "Hi|Hey|Hello|hey there|Morning|hiya|Yo|Good evening|Hi dear",
    "time": "tonight|tomorrow|later|at 7|at half past 8|this evening|after work|on Friday|"
    "next week|in 10 mins|around noon|on the weekend|at 3pm|now|soon",
    "place": "home|work|the station|town|the gym|school|the pub|my place|the shop|the office|"
    "class|the library|the hospital|church|the mall|the airport",
    "food": "pizza|dinner|lunch|coffee|rice|chicken|cake|a drink|breakfast|noodles|tea",
    "feel": "tired|happy|sick|bored|sorry|fine|sad|busy|hungry|late|sleepy|excited|worried",
    "thing": "the keys|my phone|the book|your bag|the car|the tickets|some milk|the money|"
    "your email|the notes|the film|the game|the report|my laptop|a present|the bus",
    "end": "x|ok|lol|haha|:)|bye|take care|love you|miss you|thanks|see you|call me|xx|cheers|"
    "good night|ttyl|let me know|k",
    "product": "phone|camera phone|holiday|ringtone|laptop|mobile|TV|voucher|gift card|car|"
    "weekend break|handset|music download|game|wallpaper|cinema ticket|cash",
    "prize": "£100|£500|£1000|£2000|$500|$1000|£250|1000 pounds|£5000|€200|£50|£150",
    "firm": "MobileShop|CityBank|QuickLoan|NetPhone|SuperMart|BestBuys|TravelClub|Vodatel|"
    "FunLine|DateLine|the network|Customer Services|your operator|MusicBox|GameZone",
    "key": "WIN|YES|STOP|GO|CLAIM|PLAY|JOIN|CHAT|GAME|TONE|HELP|MATCH|QUIZ|MEET",
    "urge": "URGENT!|Congratulations!|WINNER!|FREE!|Final notice:|Last chance!|Important:|"
    "Great news!|Limited offer:|SPECIAL OFFER|Reminder:|Dear customer,|Hot deal!|Alert:",
    "cost": "£1.50/msg|150p per msg|25p a min|Std rates apply|£1/week|10p per minute|"
    "T&Cs apply|18+ only|£3 per week|calls cost 50p/min|terms on our website",
    "adj": "new|free|exclusive|latest|brand new|luxury|guaranteed|top|secret|best|cheap|half price",
    "date": "31/12|today|midnight|Sunday|the end of the month|24 hrs|48 hours|5pm",
}
WORDS["name"] = WORDS["name"].replace(" ", "|")
CHOICES = {key: words.split("|") for key, words in WORDS.items()}

TALK = """
{hello} {name}, are you coming {time}?
I'm at {place}, will call you {time}
Can you bring {thing} {time}? {end}
{hello}, how are you? I'm {feel} {end}
Sorry I was {feel}, couldn't answer. {end}
What are you doing {time}? Want to get {food}?
Ok see you {time} at {place}
Did you get {thing}? I left it at {place}
I'm so {feel} today, going to bed {end}
Happy birthday {name}! Have a great day {end}
{name} said we should meet {time} near {place}
No I can't {time}, I have to go to {place}
Where are you? We are waiting at {place}
Just got {place}. Had {food}. You?
I love you so much, thinking of you {end}
Yeah that's fine, I'll do it {time}
Don't forget {thing} {end}
Thanks for {food} yesterday, it was really nice {end}
Is {name} with you? Tell him to call me {time}
Lol you are so funny {end}
I will be there {time}, just leaving {place}
How was {place}? Did {name} like {thing}?
Good luck with your exam {name}, I'm sure you will do well
Oh no, I'm {feel} :( maybe {time}
u coming 2 {place} 2nite? {end}
Wat r u doing {time} {name}? im {feel}
ok thats gud, c u {time} {end}
My train is late, start without me {end}
I don't know, ask {name}. She has {thing}
Do you want me to pick up {food} on my way {place}?
Please call me when you finish, I need {thing}
Haha yes! We watched {thing} till late, now I'm {feel}
i think so, but he never told me anything about {thing}
When you get this tell me if {time} is good for you
Mum is asking when you come {place}. She made {food}
Are you still {feel}? I can come over {time}
"""

NOTICES = """
{urge} You have won a {prize} prize! Call 0{n10} now to claim. {cost}
{urge} Get a {adj} {product} from {firm}. Text {key} to {n5}. {cost}
You have been selected to receive a {prize} {product}. Call 0{n10} before {date}
{firm}: your {product} is ready. Reply {key} to {n5} to get it. {cost}
Text {key} to {n5} for your {adj} {product}! {cost}. To stop reply STOP
{urge} your account has {prize} bonus. Visit www.{web}.com/{n3} or call 0{n10}
Meet {adj} singles in your area! Send {key} to {n5} now. {cost}
Want a {adj} {product}? {firm} gives you one FREE when you call 0{n10} {cost}
{firm}: you have 1 new voice message. Call 0{n10} to listen. {cost}
Someone who knows you wants to chat. Reply {key} or call 0{n10}, {cost}
{urge} Last attempt to reach you about your {prize} {product}. Code {n4}. Call 0{n10} by {date}
Vote now! Text {key} to {n5} and win a {product}. {cost}
Get {n2}% off {adj} {product}s at {firm}, only until {date}. www.{web}.co.uk
Free entry to win {prize}! Which city is the capital of France? Text A, B to {n5}. {cost}
Your {adj} {product} subscription costs {cost}. Unsubscribe: text STOP to {n5}
{urge} {n3} free minutes and {n2} free texts with {firm}. Call 0{n10} today!
Need cash fast? {firm} lends up to {prize} today. Apply on www.{web}.com or reply {key}
{firm}: your parcel arrives {date}. Track it at www.{web}.com/{n5}
Your appointment is on {date} at {place}. Reply YES to confirm. {firm}
{firm} reminder: your bill of {prize} is due {date}. Pay on www.{web}.com
Your verification code is {n5}. Do not share it. {firm}
"""

KINDS = tuple(kind.strip().splitlines() for kind in (TALK, NOTICES))

SHORT = {"you": "u", "are": "r", "to": "2", "for": "4", "see": "c", "please": "pls", "great": "gr8",
         "your": "ur", "tomorrow": "tmr", "what": "wat", "and": "n", "good": "gd"}  # fmt: skip


def fill(line: str) -> str:
    """Return a template with its places filled."""
    for key, words in CHOICES.items():
        while f"{{{key}}}" in line:
            line = line.replace(f"{{{key}}}", random.choice(words), 1)
    while "{web}" in line:
        line = line.replace("{web}", random.choice(["win", "go", "fun", "my"]) + "mobile", 1)
    for digits in (2, 3, 4, 5, 10):
        while f"{{n{digits}}}" in line:
            number = "".join(random.choices("0123456789", k=digits))
            line = line.replace(f"{{n{digits}}}", number, 1)
    return line


def style(line: str) -> str:
    """Return a line as people write it: in haste, without capitals, or with two thoughts."""
    if random.random() < 0.15:
        line = " ".join(SHORT.get(word.lower(), word) for word in line.split(" "))
    if random.random() < 0.15:
        line = line.lower()
    if random.random() < 0.06:
        line = line.upper()
    if random.random() < 0.1:
        line = line.replace(".", "...").replace(",", "..")
    return line


def fresh() -> str:
    """Return a message."""
    talk, notices = KINDS
    if random.random() < 0.5:
        return style(fill(random.choice(notices)))
    return style(" ".join(fill(random.choice(talk)) for _ in range(random.choice((1, 1, 2)))))


def vary(line: str) -> str:
    """Return a line with some of its words exchanged for others that stand in the same lists."""
    words = line.split(" ")
    for place, word in enumerate(words):
        if random.random() < 0.35:
            words[place] = exchanged(word)
    if random.random() < 0.2:
        cut = random.randrange(len(words) + 1)
        words = words[:cut] + fresh().split(" ")[cut:]
    if len(words) > 3 and random.random() < 0.3:
        del words[random.randrange(len(words))]
    return style(" ".join(words)) or fresh()


def exchanged(word: str) -> str:
    """Return another word of a list that a word stands in, or other digits for a number."""
    if any(c.isdigit() for c in word):
        return "".join(random.choice("0123456789") if c.isdigit() else c for c in word)
    bare = word.strip(".,!?:").lower()
    for words in CHOICES.values():
        if any(bare == other.lower() for other in words):
            return random.choice(words)
    return word


def main() -> int:
    """Answer every line with one."""
    for line in sys.stdin:
        asked = line.rstrip("\n")
        print((vary(asked) if asked.strip() else fresh())[:159])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
