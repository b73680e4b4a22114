Clumpt's first version: peers that install and pass on software, with a directory, tools to submit and to set up, and a demonstration.
