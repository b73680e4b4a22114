A small package follows the news of it: who hears of it asks for it at once, before it is there. Twenty peers have it in two thirds of the time.
