from neural_hive import Agent, Ticket

agent = Agent("greeter-1", capabilities=["greeting"])


@agent.execute("EXECUTE")
def greet(ticket: Ticket) -> dict[str, str]:
    return {"said": f"Hello, {ticket.parameters['name']}"}


agent.run()
