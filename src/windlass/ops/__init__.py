"""Operations: generators that yield effects. They know the protocol, and nothing of stores, clocks or commands."""
